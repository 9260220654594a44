"""How large a difference is beside the spread over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from densedistill.distill.statistics.samples import check_figures, varies


def hedges_g(arm: Sequence[float], control: Sequence[float]) -> float | None:
    """Difference of means over the pooled standard deviation, corrected for small samples; dimensionless.

    Hedges, "Distribution theory for Glass's estimator of effect size and related estimators", 1981, with the exact
    factor of its equation 6e. None where neither sample varies.

    Raises:
        RequestError: fewer than two figures in a sample, or one that is not finite.
    """
    check_figures(arm, least=2)
    check_figures(control, least=2)
    degrees = len(arm) + len(control) - 2
    if not (varies(arm) or varies(control)):
        return None
    squares = (len(arm) - 1) * statistics.variance(arm) + (len(control) - 1) * statistics.variance(control)
    return _small_sample(degrees) * (statistics.fmean(arm) - statistics.fmean(control)) / math.sqrt(squares / degrees)


def paired_effect(differences: Sequence[float]) -> float | None:
    """Cohen's d_z: mean of the paired differences over their standard deviation; dimensionless.

    Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, section 2.3.5. None where they do not vary.

    Raises:
        RequestError: fewer than two differences, or one that is not finite.
    """
    check_figures(differences, least=2)
    return statistics.fmean(differences) / statistics.stdev(differences) if varies(differences) else None


def _small_sample(degrees: int) -> float:
    """Γ(m/2) / (√(m/2) Γ((m - 1)/2)), by logarithms, for m >= 2."""
    return math.exp(math.lgamma(degrees / 2) - math.lgamma((degrees - 1) / 2)) / math.sqrt(degrees / 2)
