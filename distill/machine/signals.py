"""Stopping politely: a signal is noted, the step or the prediction in hand is finished, the state is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

from densedistill.distill.errors import InterruptedRunError

_Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None


class StopSignal:
    """Context manager that notes SIGTERM and SIGINT. A second one acts at once, as if we were not here."""

    def __init__(self) -> None:
        self.number = 0
        """The signal's number, 0 while there was none."""
        self._before: dict[int, _Handler] = {}

    def __enter__(self) -> StopSignal:
        self.number = 0
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def heed(self) -> None:
        """Go on, unless a signal has arrived.

        Raises:
            InterruptedRunError: one has.
        """
        if self.number:
            raise InterruptedRunError(
                f"stopped by signal {self.number} in an evaluation; what was trained before it is saved.",
                exit_status=128 + self.number,
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
