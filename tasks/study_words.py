"""What a study says of its trials while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from densedistill.distill.errors import RunFailedError
from densedistill.distill.study.outcome import JobView


def finished_line(key: str, figures: Mapping[str, Any], unit: str, seconds: float, views: Sequence[JobView]) -> str:
    """`[3/7] kd/seed-0: val 55.2%, test 54.8% (12 s); about 3 min left`."""
    settled = sum(found.settled for found in views)
    test = "none" if figures["test"] is None else f"{figures['test']:.4g}{unit}"
    reached = f"val {figures['val']:.4g}{unit}, test {test} ({seconds:.0f} s)"
    return f"[{settled}/{len(views)}] {key}: {reached}{time_left(views)}"


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
