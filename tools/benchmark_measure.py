"""Rounds of all rows in turn, and what becomes of them: medians, spreads, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from densedistill.tools.benchmark_process import Lap, Ready, RowProcess
from densedistill.tools.benchmark_request import BenchmarkRequest, Rounds

Say = Callable[[str], None]

RATIOS = {
    "ours_over_plain": ("ours", "plain"),
    "ours_over_timm": ("ours", "timm"),
    "ours_over_floor": ("ours", "floor"),
    "cached_over_student": ("ours_cached", "student"),
}
"""Name of a ratio, and the rows whose images per second it divides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What was measured of one row."""

    name: str
    ready: Ready
    laps: tuple[Lap, ...]
    steps: int
    """Optimiser steps in a lap."""
    phases: Mapping[str, float] | None = None
    """Seconds of a step in each of its phases, measured apart from the laps."""

    @property
    def speeds(self) -> list[float]:
        """Images per second of each lap."""
        return [self.steps * self.ready.batch_size / lap.seconds for lap in self.laps]

    @property
    def images_per_second(self) -> float:
        """The median over laps."""
        return statistics.median(self.speeds)

    @property
    def seconds_per_step(self) -> float:
        """Seconds of an optimiser step at the median speed."""
        return self.ready.batch_size / self.images_per_second

    @property
    def peak_memory_mb(self) -> float:
        """The highest peak of any lap, in MiB."""
        return max(lap.peak_memory_mb for lap in self.laps)


def measure(names: Sequence[str], request: BenchmarkRequest, rounds: Rounds, say: Say) -> tuple[Figures, ...]:
    """Measure the rows `names` in interleaved rounds, each in a process of its own."""
    if not names:
        return ()
    with ExitStack() as stack:
        rows: dict[str, RowProcess] = {}
        for name in names:
            rows[name] = stack.enter_context(RowProcess(name, request, rounds.warmup))
            say(f"{name}: ready after {rows[name].ready.seconds:.1f} s")
        laps = interleaved({name: row.lap for name, row in rows.items()}, rounds, say)
        return tuple(
            Figures(
                name=name,
                ready=row.ready,
                laps=tuple(laps[name]),
                steps=rounds.steps,
                phases=row.phases(rounds.steps),
            )
            for name, row in rows.items()
        )


def interleaved(rows: Mapping[str, Callable[[int], Lap]], rounds: Rounds, say: Say) -> dict[str, list[Lap]]:
    """The laps of each row. One lap of every row makes a round, so that a slow minute of the machine hits all alike."""
    laps: dict[str, list[Lap]] = {name: [] for name in rows}
    for turn in range(rounds.rounds):
        for name, lap in rows.items():
            laps[name].append(lap(rounds.steps))
        say(f"round {turn + 1} of {rounds.rounds}: " + _times({name: laps[name][-1] for name in rows}, rounds.steps))
    return laps


def ratios(speeds: Mapping[str, float]) -> dict[str, float | None]:
    """The contract's ratios of images per second; None where a row was not measured.

    With their rows there is one more: seconds of three students at once over those of a teacher and three students.
    """
    found = {
        name: speeds[above] / speeds[below] if above in speeds and below in speeds else None
        for name, (above, below) in RATIOS.items()
    }
    if speeds.keys() >= {"three_students", "teacher", "student"}:
        apart = 1 / speeds["teacher"] + 3 / speeds["student"]
        found["three_students_cost"] = 1 / speeds["three_students"] / apart
    return found


def _times(laps: Mapping[str, Lap], steps: int) -> str:
    return ", ".join(f"{name} {lap.seconds / steps:.3f} s/step" for name, lap in laps.items())
