"""One process for each row: its own memory peak, caches and compiler state, and silence while others are measured."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Literal, Self

from densedistill.backbones.errors import NetworkError
from densedistill.datasets.base import DataError
from densedistill.distill.errors import RequestError, RunFailedError
from densedistill.distill.machine.memory import peak_megabytes, reset_peak
from densedistill.tools.benchmark_machine import seconds_of
from densedistill.tools.benchmark_request import BenchmarkRequest
from densedistill.tools.benchmark_rows import ROWS, Phased, Row
from densedistill.tools.benchmark_workload import Workload, prepare

_PATIENCE = 10.0
"""Seconds that a process has to end by itself and remove its files."""
_HASTE = 2.0
"""The same after an error, or when the user is waiting for the prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A row that is built and warm."""

    batch_size: int
    precision: str
    runs_teacher: bool
    notes: tuple[str, ...]
    seconds: float
    """From the start of the process's work to the end of its warm-up: building, compiling, the first steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lap:
    """One row's part of one round."""

    seconds: float
    peak_memory_mb: float
    """The process's peak resident set within the lap, or the GPU allocator's."""


Question = tuple[Literal["lap", "phases"], int]
"""What a row's process is asked for, and over how many steps."""


class Process:
    """Runs `work(connection, *arguments)` in a fresh process, and hears what it sends.

    Between `thaw` and `freeze` it may run; frozen, neither it nor a process it started takes any time from others.
    """

    def __init__(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.name = name
        self._process = context.Process(target=_serve, args=(theirs, work, *arguments), name=name)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The process's number, which is also that of its group."""
        return self._process.pid or 0

    def send(self, message: object) -> None:
        """Say something to the process."""
        self._connection.send(message)

    def receive(self) -> Any:
        """What it says next.

        Raises:
            RequestError, DataError, NetworkError: as raised in the process.
            RunFailedError: as raised in the process, or because it ended without a word.
        """
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join(_PATIENCE)
            raise RunFailedError(
                f"'{self.name}' ended with status {self._process.exitcode}: its own message is above; -9 is the "
                "system's answer to a lack of memory, for which a smaller --batch-size helps."
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def freeze(self) -> None:
        """Stop the process and those it started."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thaw()
        self._connection.close()
        self._process.join(_PATIENCE if error is None else _HASTE)
        if self._process.is_alive():
            self._signal(signal.SIGKILL)
            self._process.join()


class RowProcess(Process):
    """A row in a process of its own, built and warm once this is made."""

    def __init__(self, name: str, request: BenchmarkRequest, warmup: int) -> None:
        super().__init__(name, _drive_row, name, request, warmup)
        try:
            self.ready: Ready = self.receive()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        self.freeze()

    def lap(self, steps: int) -> Lap:
        """Take `steps` steps while nothing else runs."""
        lap: Lap = self._ask(("lap", steps))
        return lap

    def phases(self, steps: int) -> Mapping[str, float] | None:
        """Seconds of a step in each phase; None for a row that cannot tell."""
        phases: Mapping[str, float] | None = self._ask(("phases", steps))
        return phases

    def _ask(self, question: Question) -> Any:
        self.thaw()
        self.send(question)
        answer = self.receive()
        self.freeze()
        return answer


def _serve(connection: Connection, work: Callable[..., None], *arguments: object) -> None:
    os.setpgid(0, 0)  # a group of its own, so that the processes it starts are frozen with it
    try:
        work(connection, *arguments)
    except (RequestError, DataError, NetworkError, RunFailedError) as error:
        connection.send(error)
    except BrokenPipeError:
        return  # whoever asked is gone


def _drive_row(connection: Connection, name: str, request: BenchmarkRequest, warmup: int) -> None:
    started = time.perf_counter()
    workload = prepare(request)
    with closing(ROWS[name](workload)) as row:
        seconds_of(lambda: row.steps(warmup), workload.device)
        connection.send(
            Ready(
                batch_size=workload.batch_size,
                precision=row.precision,
                runs_teacher=row.runs_teacher,
                notes=row.notes,
                seconds=time.perf_counter() - started,
            )
        )
        with suppress(EOFError):
            while True:
                connection.send(_answer(connection.recv(), row, workload))


def _answer(question: Question, row: Row, workload: Workload) -> Lap | Mapping[str, float] | None:
    what, steps = question
    if what == "phases":
        return row.phases(steps) if isinstance(row, Phased) else None
    reset_peak(workload.device)
    seconds = seconds_of(lambda: row.steps(steps), workload.device)
    return Lap(seconds=seconds, peak_memory_mb=peak_megabytes(workload.device))
