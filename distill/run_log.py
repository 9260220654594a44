"""What the engine says while it works. `progress.py` shows it to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol


class RunLog(Protocol):
    """Receives the course of a run."""

    def arm_started(self, arm: str, detail: str, steps: int, done: int) -> None:
        """An arm begins, with `done` of `steps` optimiser steps behind it."""

    def step(self, done: int, images: int, loss: float | None) -> None:
        """`done` steps are behind the arm; `images` were in the last; `loss` where it was read."""

    def epoch(self, line: Mapping[str, object]) -> None:
        """An epoch ended; the line that went into metrics.jsonl."""

    def arm_finished(self, arm: str, line: str) -> None:
        """An arm ended; one line on what it reached."""

    def message(self, text: str, level: Literal["info", "warning"] = "info") -> None:
        """Something the user should know."""
