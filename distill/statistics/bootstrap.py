"""Bootstrap intervals of a mean. With the few seeds of a study every resample is enumerated, so that none is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from densedistill.distill.statistics.samples import Interval, check_figures, check_level, varies

if TYPE_CHECKING:
    import numpy as np

ENUMERATED = 6
"""Up to this many figures all n^n resamples are taken (46 656 of six)."""
RESAMPLES = 20_000
"""Drawn beyond that."""


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, *, method: Literal["bca", "percentile"] = "bca", seed: int = 0
) -> Interval:
    """A bootstrap interval of the mean of `values`.

    Of three to five figures it is too narrow, whatever the method: the resamples cannot be more spread than the sample.
    A t interval stands beside it wherever one is shown, and decides.

    Args:
        values: two figures or more.
        level: confidence level in (0, 1).
        method: `bca` corrects for bias and skewness (Efron, "Better Bootstrap Confidence Intervals", 1987);
            `percentile` reads the quantiles of the resampled means.
        seed: of the resamples, where they are drawn.

    Raises:
        RequestError: fewer than two figures, one that is not finite, or a level outside of (0, 1).
    """
    import numpy as np

    check_figures(values, least=2)
    check_level(level)
    sample = np.asarray(values, dtype=np.float64)
    means = _resampled_means(sample, seed)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca" and varies(values):
        tails = _corrected(tails, sample, means)
    low, high = np.quantile(means, tails)
    return Interval(float(low), float(high))


def _resampled_means(sample: np.ndarray, seed: int) -> np.ndarray:
    import numpy as np

    count = len(sample)
    if count <= ENUMERATED:
        places = np.indices((count,) * count).reshape(count, -1).T
    else:
        places = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    means: np.ndarray = sample[places].mean(axis=1)
    return means


def _corrected(tails: np.ndarray, sample: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Efron 1987, equations 2.2 to 2.5: z0 from the share of resamples below the mean, a from the jackknife."""
    import numpy as np
    from scipy import special

    mean, rounding = sample.mean(), 1e-12 * np.abs(sample).max()
    below = ((means < mean - rounding).mean() + (means <= mean + rounding).mean()) / 2
    bias = special.ndtri(below)
    without = (sample.sum() - sample) / (len(sample) - 1)
    lag = without.mean() - without
    acceleration = (lag**3).sum() / (6 * (lag**2).sum() ** 1.5)
    shifted = bias + special.ndtri(tails)
    corrected: np.ndarray = special.ndtr(bias + shifted / (1 - acceleration * shifted))
    return corrected
