"""t tests of a difference of means, and the correction for testing several."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from densedistill.distill.errors import RequestError
from densedistill.distill.statistics.samples import Interval, check_figures, check_level, varies


@dataclass(frozen=True, kw_only=True, slots=True)
class TestOutcome:
    """A two-sided t test of "there is no difference"."""

    __test__ = False  # not a test of ours, though pytest would think so by its name

    t: float
    degrees: float
    """Degrees of freedom."""
    p: float
    """Probability of a difference at least as large if there were none, in 0..1."""
    interval: Interval
    """Of the difference, at the level asked for; it leaves out 0 exactly where p < 1 - level."""


def paired_t(differences: Sequence[float], level: float = 0.95) -> TestOutcome | None:
    """Student's t test of paired differences against 0, n - 1 degrees of freedom.

    None where the differences do not vary beyond rounding: t has no finite value there, and seeds that change nothing
    are no sample.

    Raises:
        RequestError: fewer than two differences, one that is not finite, or a level outside of (0, 1).
    """
    check_figures(differences, least=2)
    if not varies(differences):
        return None
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return _outcome(statistics.fmean(differences), error, len(differences) - 1, level)


def welch_t(arm: Sequence[float], control: Sequence[float], level: float = 0.95) -> TestOutcome | None:
    """Welch's t test of the means of two independent samples of unequal variance, difference `arm` minus `control`.

    Welch, "The generalization of 'Student's' problem when several different population variances are involved", 1947;
    degrees of freedom after Satterthwaite. None where neither sample varies beyond rounding.

    Raises:
        RequestError: fewer than two figures in a sample, one that is not finite, or a level outside of (0, 1).
    """
    check_figures(arm, least=2)
    check_figures(control, least=2)
    shares = [statistics.variance(values) / len(values) for values in (arm, control)]
    if not (varies(arm) or varies(control)):
        return None
    degrees = sum(shares) ** 2 / sum(
        share**2 / (len(values) - 1) for share, values in zip(shares, (arm, control), strict=True)
    )
    return _outcome(statistics.fmean(arm) - statistics.fmean(control), math.sqrt(sum(shares)), degrees, level)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p values adjusted so that the chance of any false claim among them keeps its bound, in the order given.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Raises:
        RequestError: a p value outside of 0..1.
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise RequestError(f"p value {p} is no probability: give values from 0 to 1.")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return tuple(adjusted)


def _outcome(difference: float, error: float, degrees: float, level: float) -> TestOutcome:
    from scipy import special

    check_level(level)
    t = difference / error
    reach = float(special.stdtrit(degrees, (1 + level) / 2)) * error
    return TestOutcome(
        t=t,
        degrees=degrees,
        p=min(1.0, 2 * float(special.stdtr(degrees, -abs(t)))),
        interval=Interval(difference - reach, difference + reach),
    )
