"""Differences of differences by seed: each arm's gain is a figure like any other, and compared like one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from densedistill.distill.statistics.comparison import Figures
from densedistill.distill.statistics.samples import paired_differences

Pair = tuple[str, str]
"""An arm, and the one whose figures are taken off."""


def gain_name(pair: Pair) -> str:
    """What a pair's gain is called among the figures: `dkd - kd`."""
    return f"{pair[0]} - {pair[1]}"


def with_gains(figures: Mapping[str, Figures], pairs: Iterable[Pair]) -> dict[str, Figures]:
    """`figures`, and beside them every pair's difference by seed, for the seeds that both arms have.

    Two gains compared by `compare` are a contrast: its paired test is that of (a - b) - (c - d) by seed against 0, the
    test of an interaction.
    """
    gains = {
        gain_name((arm, other)): paired_differences(figures.get(arm, {}), figures.get(other, {}))
        for arm, other in pairs
    }
    return {**figures, **gains}
