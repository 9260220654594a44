"""The benchmark's counts: how many boundary pixels are matched at each threshold, for one image.

Martin, Fowlkes and Malik, "Learning to Detect Natural Image Boundaries Using Local Brightness, Color, and Texture
Cues", TPAMI 2004, section 5, as the BSDS500 benchmark of Arbelaez et al., TPAMI 2011, computes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from densedistill.distill.boundaries.thinning import removable
from densedistill.distill.errors import RequestError

TOLERANCE = 0.0075
"""How far apart matched pixels may lie, as a share of the image's diagonal."""
THRESHOLDS = np.linspace(0.01, 0.99, 99)
"""The field's 99, evenly spaced in (0, 1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundaryCounts:
    """Pixel counts at each of K thresholds, (K,) int64 each."""

    recalled: np.ndarray
    """True pixels that are matched, summed over annotators."""
    true: np.ndarray
    """True pixels, summed over annotators."""
    precise: np.ndarray
    """Predicted pixels that are matched with at least one annotator's."""
    predicted: np.ndarray
    """Predicted pixels after thinning."""

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        return BoundaryCounts(
            recalled=self.recalled + other.recalled,
            true=self.true + other.true,
            precise=self.precise + other.precise,
            predicted=self.predicted + other.predicted,
        )

    def at(self, place: int) -> BoundaryCounts:
        """The counts at one threshold alone, K = 1."""
        one = slice(place, place + 1)
        return BoundaryCounts(
            recalled=self.recalled[one], true=self.true[one], precise=self.precise[one], predicted=self.predicted[one]
        )


def count_boundaries(
    prediction: np.ndarray,
    annotations: np.ndarray,
    *,
    thresholds: np.ndarray = THRESHOLDS,
    tolerance: float = TOLERANCE,
    thinned: bool = True,
) -> BoundaryCounts:
    """Counts of one image at each threshold.

    At each threshold the pixels at and above it are thinned to lines, and matched one to one with each annotator's
    pixels for itself, as many as can be. The matching is a largest one. The original solves an assignment problem with
    random edges, which leaves out a pixel in a thousand, and others from run to run.

    Args:
        prediction: (H, W), in [0, 1], the strength of the boundary at each pixel.
        annotations: (n, H, W), what each of n annotators drew: not zero on a boundary.
        thresholds: (K,), what counts as a boundary: `prediction >= threshold`.
        tolerance: largest distance of matched pixels, as a share of the diagonal.
        thinned: thin each thresholded map, as the benchmark does.

    Raises:
        RequestError: shapes that do not fit, a prediction that is not finite, or no annotator.
    """
    _check(prediction, annotations)
    from densedistill.distill.boundaries.matching_kernel import count_matches
    from densedistill.distill.boundaries.thinning_kernel import thin_in_place

    reach, steps = _steps(prediction.shape, tolerance)
    padded = np.pad(prediction, reach, constant_values=-np.inf)
    stride = padded.shape[1]
    rings = _rings(steps)
    offsets = steps @ np.array([stride, 1])
    drawn = [np.flatnonzero(np.pad(one != 0, reach)) for one in annotations]
    starts = np.cumsum([0, *map(len, drawn)])
    true = np.concatenate(drawn)
    scratch = np.zeros((6, padded.size), np.int32)
    rows = []
    for place, threshold in enumerate(thresholds):
        mask = (padded >= threshold).reshape(-1).astype(np.uint8)
        pixels = np.flatnonzero(mask)
        if thinned:
            pixels = pixels[: thin_in_place(mask, pixels, stride, removable())]
        stamp = 1 + place * (len(true) + len(drawn))
        rows.append((*count_matches(mask, pixels, true, starts, offsets, rings, scratch, stamp), len(pixels)))
    recalled, precise, predicted = np.array(rows, np.int64).T
    return BoundaryCounts(recalled=recalled, true=np.full(len(rows), len(true)), precise=precise, predicted=predicted)


def _steps(shape: tuple[int, ...], tolerance: float) -> tuple[int, np.ndarray]:
    """The farthest step along an axis, at least 1, and (K, 2) the steps within reach, the nearest first."""
    distance = tolerance * math.hypot(*shape)
    reach = max(math.ceil(distance), 1)
    axis = np.arange(-reach, reach + 1)
    steps = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    squared = np.square(steps).sum(axis=1)
    order = np.argsort(squared, kind="stable")
    return reach, steps[order[squared[order] <= distance * distance]]


def _rings(steps: np.ndarray) -> np.ndarray:
    """(rings + 1,) int64: where in `steps` each distance begins, and the end."""
    squared = np.square(steps).sum(axis=1)
    return np.concatenate(([0], np.flatnonzero(np.diff(squared)) + 1, [len(steps)]))


def _check(prediction: np.ndarray, annotations: np.ndarray) -> None:
    if annotations.ndim != 3 or not len(annotations) or annotations.shape[1:] != prediction.shape:
        raise RequestError(
            f"a prediction of shape {prediction.shape} cannot be scored against annotations of shape "
            f"{annotations.shape}: give (H, W) and (annotators, H, W), one annotator at least"
        )
    if not np.isfinite(prediction).all():
        raise RequestError("a prediction is not finite: the network that made it has diverged")
