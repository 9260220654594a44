"""A comparison in words, which claim a difference only where every interval and the corrected test support it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from densedistill.distill import wording
from densedistill.distill.gains import lead
from densedistill.distill.statistics.comparison import Comparison
from densedistill.distill.statistics.samples import Interval

Outcome = Literal["better", "worse", "none", "untested"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What may be said of an arm."""

    outcome: Outcome
    """`none`: tested, and no difference shown; `untested`: no test could be computed."""
    text: str
    """Without a full stop, such as `+0.80 ± 0.30 points over scratch, 5 seeds, p = 0.010`."""


def give_verdict(
    comparison: Comparison, unit: str, *, higher_is_better: bool, arm: str | None = None, control: str | None = None
) -> Verdict:
    """What `comparison` allows to say. Figures after `±` are standard deviations of the paired differences over seeds.

    A difference is claimed only where the corrected p value is below 1 - level, and the t interval and the bootstrap
    interval both leave out 0.

    Args:
        comparison: an arm against its control.
        unit: of the metric; differences of percentages are points.
        higher_is_better: of the metric.
        arm: the arm's name for people; its name in the comparison where None.
        control: the control's, likewise.
    """
    named = control or comparison.against
    mean = comparison.mean
    if mean is None:
        lacking = (arm or comparison.arm) if comparison.own is None else named
        return Verdict(outcome="untested", text=f"not compared with {named}: {lacking} has no result")
    gain = _gain(comparison, mean, unit, named)
    refused = _no_test(comparison)
    if refused:
        return Verdict(outcome="untested", text=f"no test is computed: {refused} ({gain})")
    evidence = f"{gain}, {_sample(comparison)}, {_p(comparison)}"
    if not _supported(comparison):
        return Verdict(outcome="none", text=f"no difference shown: {evidence}{_reach(comparison, unit)}")
    better = lead(mean, 0.0, higher=higher_is_better) > 0
    return Verdict(outcome="better" if better else "worse", text=evidence if better else f"worse: {evidence}")


def _supported(comparison: Comparison) -> bool:
    test, p = comparison.deciding, comparison.p_adjusted
    if test is None or p is None or p >= 1 - comparison.level or test.interval.holds(0.0):
        return False
    return comparison.bootstrap is None or not comparison.bootstrap.holds(0.0)


def _no_test(comparison: Comparison) -> str:
    """Why there is none; empty where there is."""
    if comparison.deciding is not None:
        return ""
    if len(comparison.differences) == 1:
        return "one seed" if not comparison.unpaired else "one shared seed"
    if len(comparison.differences) > 1:
        return "the difference is the same for every seed, so that the seeds are no sample"
    return "the arms share no seed, and one of them has a single one"


def _gain(comparison: Comparison, mean: float, unit: str, control: str) -> str:
    points = "points" if unit == "%" else unit
    deviation = None if comparison.difference is None else comparison.difference.std
    about = "" if deviation is None else f" ± {wording.figure(deviation, points, bare=True)}"
    written = wording.figure(mean, points, signed=True, bare=True)
    preposition = "over" if mean >= 0 else "against"
    return f"{written}{about}{f' {points}' if points else ''} {preposition} {control}"


def _sample(comparison: Comparison) -> str:
    if comparison.differences:
        left = f" ({len(comparison.unpaired)} more without a pair)" if comparison.unpaired else ""
        return f"{len(comparison.differences)} seeds{left}"
    own, theirs = comparison.own, comparison.theirs
    return f"{0 if own is None else own.count} and {0 if theirs is None else theirs.count} seeds, unpaired"


def _p(comparison: Comparison) -> str:
    corrected = f" (Holm, {comparison.family} tests)" if comparison.family > 1 else ""
    return f"{probability(comparison.p_adjusted)}{corrected}"


def probability(p: float | None) -> str:
    """`p = 0.010`, `p < 0.001`."""
    if p is None:
        return f"p {wording.ABSENT}"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _reach(comparison: Comparison, unit: str) -> str:
    """The interval, with a word on why it may leave out 0 where no difference is shown."""
    test = comparison.deciding
    if test is None:
        return ""
    reach = f"; {100 * comparison.level:g} % interval {_interval(test.interval, unit)}"
    if test.interval.holds(0.0) or comparison.family == 1:
        return reach
    return f"{reach}, before correcting for {comparison.family} tests"


def _interval(interval: Interval, unit: str) -> str:
    points = "points" if unit == "%" else unit
    low, high = (wording.figure(value, points, signed=True, bare=True) for value in (interval.low, interval.high))
    return f"{low} to {high}{f' {points}' if points else ''}"
