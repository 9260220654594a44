"""An arm against its control over seeds, with every statistic that a report shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from densedistill.distill.statistics.bootstrap import bootstrap_interval
from densedistill.distill.statistics.effects import hedges_g, paired_effect
from densedistill.distill.statistics.samples import Interval, Spread, paired_differences, spread
from densedistill.distill.statistics.significance import TestOutcome, holm, paired_t, welch_t

Figures = Mapping[int, float]
"""An arm's figure by seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One arm against another; differences are arm minus control, in the metric's unit."""

    arm: str
    against: str
    own: Spread | None
    """None where the arm has no figure."""
    theirs: Spread | None
    differences: Mapping[int, float]
    """By seed, for the seeds that both have."""
    difference: Spread | None
    """Of the paired differences; None without a pair."""
    paired: TestOutcome | None = None
    welch: TestOutcome | None = None
    """As if the seeds were not shared; stands beside the paired test."""
    bootstrap: Interval | None = None
    """Of the mean paired difference, BCa."""
    effect_paired: float | None = None
    """d_z of the pairs."""
    effect: float | None = None
    """Hedges' g of the two samples."""
    p_adjusted: float | None = None
    """The deciding test's p value after Holm's correction over all comparisons of the family."""
    family: int = 1
    """How many tests were corrected for."""
    unpaired: tuple[int, ...] = ()
    """Seeds that only one of the two has."""
    level: float = 0.95

    @property
    def deciding(self) -> TestOutcome | None:
        """The paired test where there are two pairs, else Welch's where no seed is shared."""
        if self.paired is not None or self.differences:
            return self.paired
        return self.welch

    @property
    def mean(self) -> float | None:
        """The mean difference that the deciding test is about."""
        if self.difference is not None:
            return self.difference.mean
        if self.own is None or self.theirs is None:
            return None
        return self.own.mean - self.theirs.mean


def compare(
    figures: Mapping[str, Figures], pairs: Sequence[tuple[str, str]], *, level: float = 0.95
) -> tuple[Comparison, ...]:
    """Every (arm, control) of `pairs`, with p values corrected over all of them (Holm).

    Args:
        figures: each arm's figure by seed; an arm may be missing, or lack seeds.
        pairs: the comparisons that the question names, which make the family.
        level: of the intervals, in (0, 1).

    Raises:
        RequestError: a figure that is not finite, or a level outside of (0, 1).
    """
    found = [_compared(arm, against, figures.get(arm, {}), figures.get(against, {}), level) for arm, against in pairs]
    tests = [(place, one.deciding.p) for place, one in enumerate(found) if one.deciding is not None]
    for (place, _), adjusted in zip(tests, holm([p for _, p in tests]), strict=True):
        found[place] = replace(found[place], p_adjusted=adjusted, family=len(tests))
    return tuple(found)


def _compared(arm: str, against: str, own: Figures, theirs: Figures, level: float) -> Comparison:
    differences = paired_differences(own, theirs)
    first = Comparison(
        arm=arm,
        against=against,
        own=spread(list(own.values())) if own else None,
        theirs=spread(list(theirs.values())) if theirs else None,
        differences=differences,
        difference=spread(list(differences.values())) if differences else None,
        unpaired=tuple(sorted(set(own) ^ set(theirs))),
        level=level,
    )
    samples = (list(own.values()), list(theirs.values()))
    if min(map(len, samples)) >= 2:
        first = replace(first, welch=welch_t(*samples, level), effect=hedges_g(*samples))
    if len(differences) < 2:
        return first
    pairs = list(differences.values())
    return replace(
        first,
        paired=paired_t(pairs, level),
        bootstrap=bootstrap_interval(pairs, level),
        effect_paired=paired_effect(pairs),
    )
