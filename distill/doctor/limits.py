"""How much the doctor may look at: everything when it is asked, a small share of the run before a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a whole examination."""

    until: float | None = None
    """Reading of the clock at which to end; None: never."""
    teacher_images: int = 2048
    """Most validation images that the teacher is asked about."""
    clock: Callable[[], float] = time.monotonic

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return float("inf") if self.until is None else self.until - self.clock()

    def within(self, items: Iterable[Item], share: float = 1.0) -> Iterator[Item]:
        """`items`, until `share` of the time that is left now is used up; the first one always comes."""
        end = float("inf") if self.until is None else self.clock() + share * self.left
        for item in items:
            yield item
            if self.clock() > end:
                return
