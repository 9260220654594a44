"""The benchmark's counts: closed forms, and the size of the matching by SciPy's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from densedistill.distill.boundaries import THRESHOLDS, TOLERANCE, count_boundaries, thin
from densedistill.distill.errors import RequestError

HALF = np.array([0.5])


def picture(*rows: int, height: int = 300, width: int = 400) -> np.ndarray:
    """Horizontal lines from the left border to the right; the diagonal is 500, so that 3.75 pixels are tolerated."""
    lines = np.zeros((height, width))
    lines[list(rows)] = 1.0
    return lines


def counted(prediction: np.ndarray, *annotations: np.ndarray, **options: object) -> tuple[int, int, int, int]:
    """Recalled, true, precise, predicted at threshold 0.5."""
    found = count_boundaries(prediction, np.stack(annotations), thresholds=HALF, **options)  # type: ignore[arg-type]
    return int(found.recalled[0]), int(found.true[0]), int(found.precise[0]), int(found.predicted[0])


@pytest.mark.parametrize(("shift", "matched"), [(0, 400), (3, 400), (4, 0), (60, 0)])
def test_a_shifted_line_is_matched_within_the_tolerance(shift: int, matched: int) -> None:
    assert counted(picture(100 + shift), picture(100)) == (matched, 400, matched, 400)


def test_the_tolerance_is_a_share_of_the_diagonal() -> None:
    assert counted(picture(110), picture(100), tolerance=10 / 500) == (400, 400, 400, 400)
    assert counted(picture(110), picture(100), tolerance=9.99 / 500) == (0, 400, 0, 400)
    assert TOLERANCE * np.hypot(321, 481) == pytest.approx(4.337, abs=1e-3)


def test_every_pixel_has_one_partner_at_most() -> None:
    assert counted(picture(99, 101), picture(100)) == (400, 400, 400, 800)
    assert counted(picture(100), picture(99, 101)) == (400, 800, 400, 400)


def test_annotators_are_matched_one_by_one_and_a_pixel_is_right_for_any_of_them() -> None:
    assert counted(picture(50, 150), picture(50), picture(50, 250)) == (800, 1200, 400, 800)
    assert counted(picture(50, 150), picture(50), picture(150)) == (800, 800, 800, 800)


def test_of_equally_near_pixels_none_is_preferred() -> None:
    recalled, true, precise, predicted = counted(picture(99, 101), *[picture(100)] * 6)
    assert (recalled, true, predicted) == (2400, 2400, 800)
    # Always the upper line, or always the lower one, would be 400; a coin for each pixel and annotator 787.
    assert 740 <= precise <= 800


def test_an_annotator_who_drew_nothing_adds_nothing() -> None:
    assert counted(picture(50), picture(50), picture()) == (400, 400, 400, 400)
    assert counted(picture(50), picture()) == (0, 0, 0, 400)
    assert counted(picture(), picture(50)) == (0, 400, 0, 0)


def test_thresholds_are_reached_from_above() -> None:
    prediction = 0.4 * picture(100)
    found = count_boundaries(prediction, picture(100)[None], thresholds=np.array([0.39, 0.4, 0.41]))
    assert found.predicted.tolist() == [400, 400, 0]
    assert len(THRESHOLDS) == 99
    np.testing.assert_allclose(THRESHOLDS, np.arange(1, 100) / 100)


def test_thick_boundaries_count_once() -> None:
    thick = picture(98, 99, 100, 101, 102)
    _, _, precise, predicted = counted(thick, picture(100))
    assert predicted == thin(thick > 0).sum() < 450
    assert precise >= predicted - 4
    assert counted(thick, picture(100), thinned=False) == (400, 400, 400, 2000)


def test_pairs_of_the_nearest_are_given_up_where_more_can_be_matched() -> None:
    # On one line, two pixels' reach: the true pixel at 10 could take 9, which is nearer, or 12; the one at 7 only 9.
    true, prediction = np.zeros((1, 40)), np.zeros((1, 40))
    true[0, [7, 10]] = 1
    prediction[0, [9, 12]] = 1
    assert counted(prediction, true, tolerance=2.5 / np.hypot(1, 40), thinned=False) == (2, 2, 2, 2)


def largest(prediction: np.ndarray, true: np.ndarray, distance: float) -> int:
    """The size of a maximum matching, from all pairs within `distance`."""
    ours, theirs = np.argwhere(prediction), np.argwhere(true)
    near = np.square(ours[:, None] - theirs[None]).sum(axis=2) <= distance**2
    return int((maximum_bipartite_matching(csr_matrix(near), perm_type="column") >= 0).sum())


@pytest.mark.parametrize("density", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("distance", [1.0, 2.3, 4.34])
def test_as_many_pixels_are_matched_as_can_be(density: float, distance: float) -> None:
    random = np.random.default_rng(int(1000 * density))
    prediction = (random.random((37, 52)) < density).astype(float)
    drawn = (random.random((3, 37, 52)) < [[[density]], [[0.05]], [[0.2]]]).astype(np.uint8)
    found = count_boundaries(prediction, drawn, thresholds=HALF, tolerance=distance / np.hypot(37, 52), thinned=False)
    assert found.recalled[0] == sum(largest(prediction, one, distance) for one in drawn)
    assert max(largest(prediction, one, distance) for one in drawn) <= found.precise[0] <= found.recalled[0]


def test_an_image_turned_or_mirrored_has_the_same_number_of_matches() -> None:
    random = np.random.default_rng(7)
    prediction, drawn = random.random((40, 40)), (random.random((2, 40, 40)) < 0.1).astype(np.uint8)
    found = count_boundaries(prediction, drawn, thinned=False)
    turned = count_boundaries(np.rot90(prediction), np.rot90(drawn, axes=(1, 2)), thinned=False)
    mirrored = count_boundaries(prediction[:, ::-1], drawn[:, :, ::-1], thinned=False)
    for other in (turned, mirrored):
        np.testing.assert_array_equal(found.recalled, other.recalled)
        np.testing.assert_array_equal(found.predicted, other.predicted)


def test_nothing_fits_is_said() -> None:
    with pytest.raises(RequestError, match=r"\(4, 5\) cannot be scored against annotations of shape \(1, 5, 4\)"):
        count_boundaries(np.zeros((4, 5)), np.zeros((1, 5, 4)))
    with pytest.raises(RequestError, match="one annotator at least"):
        count_boundaries(np.zeros((4, 5)), np.zeros((0, 4, 5)))
    with pytest.raises(RequestError, match="not finite"):
        count_boundaries(np.full((4, 5), np.nan), np.zeros((1, 4, 5)))
