"""From counts to the figures of the boundary benchmark: ODS, OIS, AP and the curve of precision over recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from densedistill.distill.boundaries.counting import THRESHOLDS, BoundaryCounts
from densedistill.distill.errors import RequestError

_BETWEEN = 100
"""Points at which the benchmark looks from one threshold to the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operating:
    """A point of the curve; all in 0..1."""

    threshold: float
    recall: float
    precision: float
    f: float
    """2 P R / (P + R), 0 where both are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundaryScores:
    """What the benchmark says of a set of images; all in 0..1."""

    ods: float
    """The best F at one threshold for all images ("optimal dataset scale"); between two thresholds precision and recall
    are taken as linear, as the original does."""
    ods_threshold: float
    ois: float
    """F of the counts summed over images, each at its own best threshold ("optimal image scale")."""
    ap: float
    """Area under the curve: precision, linear between the curve's points and 0 outside of them, at recalls 0, 0.01 ...
    1, each weighing 0.01."""
    thresholds: np.ndarray
    recall: np.ndarray
    """(K,) at each threshold."""
    precision: np.ndarray
    images: tuple[Operating, ...]
    """Each image at its own best threshold."""

    def metrics(self) -> dict[str, float]:
        """The four figures by name."""
        return {"ods": self.ods, "ods_threshold": self.ods_threshold, "ois": self.ois, "ap": self.ap}

    def curve(self) -> dict[str, list[float]]:
        """`threshold`, `recall` and `precision`, one number for each threshold."""
        columns = {"threshold": self.thresholds, "recall": self.recall, "precision": self.precision}
        return {name: [float(value) for value in column] for name, column in columns.items()}


def score_boundaries(counts: Sequence[BoundaryCounts], thresholds: np.ndarray = THRESHOLDS) -> BoundaryScores:
    """The figures for images with these counts at `thresholds` (K,).

    Raises:
        RequestError: there is no image.
    """
    if not counts:
        raise RequestError("no image was scored: give at least one")
    recall, precision = _rates(reduce(add, counts))
    best = [int(np.argmax(_f(*_rates(one)))) for one in counts]
    ods, ods_threshold = _best_between(thresholds, recall, precision)
    pooled = reduce(add, (one.at(place) for one, place in zip(counts, best, strict=True)))
    return BoundaryScores(
        ods=ods,
        ods_threshold=ods_threshold,
        ois=float(_f(*_rates(pooled))[0]),
        ap=_area(recall, precision),
        thresholds=thresholds,
        recall=recall,
        precision=precision,
        images=tuple(
            _operating(one.at(place), float(thresholds[place])) for one, place in zip(counts, best, strict=True)
        ),
    )


def _operating(counts: BoundaryCounts, threshold: float) -> Operating:
    recall, precision = _rates(counts)
    f = _f(recall, precision)
    return Operating(threshold=threshold, recall=float(recall[0]), precision=float(precision[0]), f=float(f[0]))


def _rates(counts: BoundaryCounts) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision (K,), 0 where nothing is true, or nothing predicted."""
    return counts.recalled / np.maximum(counts.true, 1), counts.precise / np.maximum(counts.predicted, 1)


def _f(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    total = recall + precision
    f: np.ndarray = 2 * recall * precision / np.where(total == 0, 1, total)
    return f


def _best_between(thresholds: np.ndarray, recall: np.ndarray, precision: np.ndarray) -> tuple[float, float]:
    """The best F on the straight lines between neighbouring points of the curve, and its threshold."""
    share = np.linspace(0, 1, _BETWEEN)

    def lines(values: np.ndarray) -> np.ndarray:
        inner = values[1:, None] * share + values[:-1, None] * (1 - share)
        return np.concatenate((values[:1], inner.reshape(-1)))

    f = _f(lines(recall), lines(precision))
    best = int(np.argmax(f))
    return float(f[best]), float(lines(thresholds)[best])


def _area(recall: np.ndarray, precision: np.ndarray) -> float:
    distinct, first = np.unique(recall, return_index=True)
    if len(distinct) < 2:
        return 0.0
    at = np.linspace(0, 1, 101)
    return float(np.interp(at, distinct, precision[first], left=0.0, right=0.0).sum() / 100)
