"""Our figures beside the original's matching code, where a package that wraps it is installed.

`py-bsds500` (module `bsds`) and `pyEdgeEval` both compile the benchmark's `matchEdgeMaps`. It solves an assignment
problem with random edges, so that its counts differ from run to run, and takes minutes for an image.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.filters import sobel

from densedistill.datasets.bsds import bsds_images, read_annotations
from densedistill.datasets.pixels import read_rgb
from densedistill.distill.boundaries import THRESHOLDS, TOLERANCE, BoundaryCounts, score_boundaries, thin
from densedistill.distill.boundaries.counting import count_boundaries

Match = Callable[..., tuple[np.ndarray, np.ndarray, Any, Any]]


@pytest.fixture
def original() -> Match:
    """(prediction, truth, max_dist=) -> matched places of both, and two costs."""
    for name in ("bsds.correspond_pixels", "pyEdgeEval._lib"):
        try:
            match: Match = importlib.import_module(name).correspond_pixels
        except ImportError:
            continue
        return match
    pytest.skip("neither py-bsds500 nor pyEdgeEval is installed")


def original_counts(match: Match, strength: np.ndarray, drawn: np.ndarray) -> BoundaryCounts:
    """The benchmark's loop over thresholds and annotators, with the original's matching."""
    rows = []
    for threshold in THRESHOLDS:
        mask = thin(strength >= threshold)
        hit, recalled = np.zeros(mask.shape, bool), 0
        for one in drawn:
            ours, theirs, *_ = match(mask, one, max_dist=TOLERANCE)
            hit |= ours > 0
            recalled += int((theirs > 0).sum())
        rows.append((recalled, int(drawn.sum()), int(hit.sum()), int(mask.sum())))
    recalled_K, true_K, precise_K, predicted_K = np.array(rows).T
    return BoundaryCounts(recalled=recalled_K, true=true_K, precise=precise_K, predicted=predicted_K)


def sobel_map(path: Path) -> np.ndarray:
    """(H, W) in 255 levels of [0, 1]."""
    strength = sobel(rgb2gray(read_rgb(path)))
    rounded: np.ndarray = np.round(strength / strength.max() * 255) / 255
    return rounded


@pytest.mark.slow
def test_sobel_maps_of_twelve_test_images_score_as_by_the_original(original: Match, data_root: Path) -> None:
    theirs, ours = [], []
    for image in bsds_images(data_root, "test")[:12]:
        strength, drawn = sobel_map(image.image), read_annotations(image.annotation).boundaries
        theirs.append(original_counts(original, strength, drawn))
        ours.append(count_boundaries(strength, drawn))
    reference, found = score_boundaries(theirs), score_boundaries(ours)
    assert found.ods == pytest.approx(reference.ods, abs=0.003)
    assert found.ois == pytest.approx(reference.ois, abs=0.004)
    assert found.ap == pytest.approx(reference.ap, abs=0.006)


def test_small_pictures_have_counts_near_the_original_s(original: Match) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        mask = thin(random.random((60, 80)) < 0.3)
        drawn = (random.random((60, 80)) < 0.1).astype(float)
        ours, theirs, *_ = original(mask, drawn, max_dist=0.03)
        found = count_boundaries(mask.astype(float), drawn[None], thresholds=np.array([0.5]), tolerance=0.03)
        assert 0 <= found.recalled[0] - (theirs > 0).sum() <= 0.02 * drawn.sum()
        assert found.precise[0] == found.recalled[0]
        assert (ours > 0).sum() == (theirs > 0).sum()
