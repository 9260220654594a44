"""What a study says of its trials while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from densedistill.distill import wording
from densedistill.distill.errors import RunFailedError
from densedistill.distill.report import words
from densedistill.distill.study.outcome import JobView


class Measured(Protocol):
    """What a figure is called and counted in: a task's metric, or a study's own."""

    @property
    def name(self) -> str:
        """As results have it, such as `dice`."""

    @property
    def unit(self) -> str:
        """Empty where it has none."""


def finished_line(
    key: str, figures: Mapping[str, Any], val: Measured, test: Measured, seconds: float, views: Sequence[JobView]
) -> str:
    """`[3/7] kd/seed-0: val 55.20 %, test 54.80 % (12 s); about 3 min left`.

    `val` and `test` are the metrics of either figure; they are named where the two are not one.
    """
    settled = sum(found.settled for found in views)
    told = []
    for part, metric in (("val", val), ("test", test)):
        name = f" {words.label(metric.name)}" if val.name != test.name else ""
        value = figures[part]
        told.append(f"{part}{name} {'none' if value is None else wording.figure(value, metric.unit)}")
    return f"[{settled}/{len(views)}] {key}: {', '.join(told)} ({seconds:.0f} s){time_left(views)}"


def time_left(views: Sequence[JobView]) -> str:
    """A guess from the trials that are done, shared among those that work now; empty without anything to go by."""
    took = [found.seconds for found in views if found.state == "done" and found.seconds is not None]
    left = sum(not found.settled for found in views)
    if not took or not left:
        return ""
    workers = 1 + sum(found.state == "running" for found in views)
    minutes = left * sum(took) / len(took) / workers / 60
    return f"; about {minutes:.0f} min left" if minutes >= 1 else "; less than a minute left"


def in_words(error: BaseException) -> str:
    """An error in one line: our own speak for themselves, others with their kind."""
    text = str(error) or "no message"
    return text if isinstance(error, RunFailedError) else f"{type(error).__name__}: {text}"
