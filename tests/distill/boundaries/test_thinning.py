"""Thinning: equal to scikit-image's, which is equal to MATLAB's, and what it does to shapes."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.morphology import label
from skimage.morphology import thin as reference

from densedistill.distill.boundaries import thin


@pytest.mark.parametrize("density", [0.05, 0.3, 0.5, 0.7, 0.95])
def test_random_masks_are_thinned_as_scikit_image_does(density: float) -> None:
    random = np.random.default_rng(int(100 * density))
    for _ in range(20):
        mask = random.random(tuple(random.integers(1, 40, 2))) < density
        np.testing.assert_array_equal(thin(mask), reference(mask))


def test_thick_shapes_are_thinned_as_scikit_image_does() -> None:
    rows, columns = np.indices((90, 120))
    ring = np.abs(np.hypot(rows - 45, columns - 50) - 30) < 9
    mask = ring | (np.abs(rows - columns) < 7)
    np.testing.assert_array_equal(thin(mask), reference(mask))


def test_a_bar_becomes_a_line_one_pixel_thick() -> None:
    mask = np.zeros((20, 40), bool)
    mask[8:13, 5:35] = True
    line = thin(mask)
    assert line.sum(axis=0).max() == 1
    assert line[10].sum() == line.sum() > 20


def test_lines_and_empty_masks_stay() -> None:
    line = np.eye(17, dtype=bool)
    np.testing.assert_array_equal(thin(line), line)
    assert not thin(np.zeros((5, 7), bool)).any()
    assert thin(np.ones((1, 1), bool)).all()


def test_parts_stay_connected_and_nothing_more_is_to_be_thinned() -> None:
    random = np.random.default_rng(0)
    mask = np.kron(random.random((12, 12)) < 0.4, np.ones((5, 5))) > 0
    thinned = thin(mask)
    assert label(thinned, connectivity=2).max() == label(mask, connectivity=2).max()
    np.testing.assert_array_equal(thin(thinned), thinned)
    assert not (thinned & ~mask).any()
