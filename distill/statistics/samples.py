"""Figures over seeds, one arm or two."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from densedistill.distill.errors import RequestError


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval; `low` <= `high`, in the unit of what was measured."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the closed interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """One arm over its seeds."""

    count: int
    mean: float
    std: float | None
    """Sample standard deviation (n - 1); None of one value."""


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of one or more figures.

    Raises:
        RequestError: no figure, or one that is not finite.
    """
    check_figures(values, least=1)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(count=len(values), mean=statistics.fmean(values), std=deviation)


def paired_differences(arm: Mapping[int, float], control: Mapping[int, float]) -> dict[int, float]:
    """`arm` minus `control` for every seed that both have, in the order of the seeds; both are figures by seed."""
    return {seed: arm[seed] - control[seed] for seed in sorted(arm) if seed in control}


def varies(values: Sequence[float]) -> bool:
    """Whether two or more figures differ by more than their rounding."""
    return statistics.stdev(values) > 1e-12 * max(abs(value) for value in values)


def check_figures(values: Sequence[float], *, least: int) -> None:
    """Refuse what no statistic is defined of.

    Raises:
        RequestError: fewer than `least` figures, or one that is not finite.
    """
    if len(values) < least:
        raise RequestError(f"{len(values)} figure(s) are too few for this statistic: give {least} or more seeds.")
    bad = next((value for value in values if not math.isfinite(value)), None)
    if bad is not None:
        raise RequestError(f"a figure is {bad}, of which no statistic is defined: leave out runs without a result.")


def check_level(level: float) -> None:
    """Refuse a confidence level outside of (0, 1).

    Raises:
        RequestError: `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise RequestError(f"confidence level {level} is not between 0 and 1: give a share such as 0.95.")
