"""The rows of our own engine: a real run, held at the gate between two steps until they are asked for.

Nothing of the engine is left out or replaced: the chain that `distill.py` runs trains here, in a thread that waits
after each step. Only its length is our own: epochs without end, and no evaluation in between.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from densedistill import backbones
from densedistill.distill.chain import Chain
from densedistill.distill.configuration.config import Request, Resolved, resolve
from densedistill.distill.errors import RunFailedError
from densedistill.distill.lessons import checkpoint
from densedistill.distill.lessons.compilation import TRY_AT_STEP
from densedistill.distill.machine.runtime import start_runtime
from densedistill.distill.progress import Level, SilentLog
from densedistill.distill.run_dir import RunDir
from densedistill.distill.run_parts import RunParts
from densedistill.distill.surroundings import Surroundings
from densedistill.distill.tensors import save_weights
from densedistill.tools.benchmark_machine import seconds_of, synchronise
from densedistill.tools.benchmark_workload import STUDENT, Workload

_EPOCHS = 200
_STEPS_PER_EPOCH = 1000
"""As long as a real run, since what is worth compiling depends on that, and starting a loader does not count."""
_AHEAD = 4
"""More batches than the loader looks up before their step."""

Setting = tuple[str, object]


class _ClosedError(Exception):
    """Ends the run where it waits."""


class Gate(SilentLog):
    """A run's log that lets it take a given number of steps and no more."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.taken = 0
        self._allowed = 0
        self._failure: BaseException | None = None
        self._closed = False
        self._turn = threading.Condition()

    def step(self, done: int, images: int, loss: float | None) -> None:
        """Hold the run after its last allowed step."""
        with self._turn:
            self.taken += 1
            self._turn.notify_all()
            self._wait(lambda: self.taken < self._allowed)

    def message(self, text: str, level: Level = "info") -> None:
        """Keep what the run says of itself."""
        self.notes.append(text)

    def pass_through(self, count: int) -> None:
        """Let the run take `count` steps and wait for them.

        Raises:
            BaseException: whatever ended the run.
        """
        with self._turn:
            self._allowed += count
            self._turn.notify_all()
            self._turn.wait_for(lambda: self.taken == self._allowed or self._failure is not None)
        if self._failure is not None:
            raise self._failure

    def fail(self, failure: BaseException) -> None:
        """Tell whoever waits that no step will come."""
        with self._turn:
            self._failure = failure
            self._turn.notify_all()

    def open(self) -> None:
        """Let the run reach its first step."""
        with self._turn:
            self._wait(lambda: self._allowed > 0)

    def close(self) -> None:
        """End the run where it waits."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()

    def _wait(self, until: Callable[[], bool]) -> None:
        self._turn.wait_for(lambda: until() or self._closed)
        if self._closed:
            raise _ClosedError


class Clock:
    """Adds up the seconds spent in each phase of a step, while it is on."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.on = False
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time one phase; its work on the device is waited for."""
        if not self.on:
            yield
            return
        synchronise(self.device)
        started = time.perf_counter()
        yield
        synchronise(self.device)
        self.seconds[name] += time.perf_counter() - started


class ClockedChain(Chain):
    """A chain that times its phases."""

    def __init__(self, parts: RunParts, clock: Clock) -> None:
        super().__init__(parts, networks_module=backbones.__name__, track=lambda _line: None, command=())
        self.clock = clock

    def _surroundings(self) -> Surroundings:
        return replace(super()._surroundings(), phases=self.clock)


class EngineRow:
    """A run of the engine: a student alone, taught, or taught from kept answers."""

    def __init__(
        self, workload: Workload, *, taught: bool, kept: bool = False, settings: Sequence[Setting] = ()
    ) -> None:
        """Start the run that the workload's configuration and `settings` describe.

        The steps that no figure may count are taken: those that fill the cache, where it has one, and those before the
        engine decides what to compile.
        """
        self.workload, self.taught = workload, taught
        self.precision, self.runs_teacher = workload.precision, taught and not kept
        # A save is due after so many seconds by the clock, which runs on while this process is stopped.
        checkpoint.SAVE_AFTER_SECONDS = math.inf
        self._folder = tempfile.TemporaryDirectory(prefix="densedistill-benchmark-")
        self.gate, self.clock = Gate(), Clock(workload.device)
        wanted = [*settings, ("teacher_cache", 1)] if kept else list(settings)
        self._thread = threading.Thread(target=self._run, args=(wanted,), name="run", daemon=True)
        self._thread.start()
        filling = -(-len(workload.data.train) // workload.batch_size) + _AHEAD if kept else 0
        # The engine considers compiling on its way: no measured step may meet that.
        deciding = TRY_AT_STEP + 1 if workload.compile else 0
        try:
            self.gate.pass_through(max(filling, deciding))
        except BaseException:
            self.close()
            raise

    @property
    def notes(self) -> tuple[str, ...]:
        """What the run said, but for where its files lie."""
        return tuple(note for note in dict.fromkeys(self.gate.notes) if self._folder.name not in note)

    def steps(self, count: int) -> None:
        """Take `count` steps."""
        self.gate.pass_through(count)

    def phases(self, count: int) -> dict[str, float]:
        """Seconds of a step in each phase, over `count` steps; `other` is what lies between.

        `data` is waiting for a batch; `loading` is what making one takes, in a thread beside the step.
        """
        self.clock.seconds.clear()
        self.clock.on = True
        total = seconds_of(lambda: self.steps(count), self.workload.device)
        self.clock.on = False
        found = {name: seconds / count for name, seconds in self.clock.seconds.items()}
        return {**found, "other": total / count - sum(found.values()), "loading": self._loading(count)}

    def close(self) -> None:
        """End the run and remove its folder."""
        self.gate.close()
        self._thread.join()
        self._folder.cleanup()

    def _loading(self, count: int) -> float:
        batches = self.workload.views()
        next(batches)
        return seconds_of(lambda: [next(batches) for _ in range(count)], self.workload.device) / count

    def _run(self, settings: list[Setting]) -> None:
        try:
            self.gate.open()
            folder = Path(self._folder.name)
            resolved = endless(self.workload, [*self._networks(folder), *settings])
            self._chain(resolved, folder).run()
            self.gate.fail(RunFailedError("the benchmark's run came to its end: ask for fewer steps."))
        except BaseException as error:
            self.gate.fail(error)

    def _networks(self, folder: Path) -> list[Setting]:
        """Two generations whose first is not trained; alone, the student is the first and only one."""
        config = self.workload.resolved.config
        if not self.taught:
            student = config.networks[STUDENT].model_dump(mode="json")
            return [("generations", 1), ("networks", [student]), ("teacher_weights", None)]
        if config.teacher_weights is not None:
            return []
        weights = folder / "teacher.safetensors"
        save_weights(weights, self.workload.teacher())
        return [("teacher_weights", str(weights))]

    def _chain(self, resolved: Resolved, folder: Path) -> ClockedChain:
        parts = RunParts(
            resolved=resolved,
            data=self.workload.data,
            networks=backbones,
            runtime=start_runtime(resolved.config.device, resolved.config.precision),
            run_dir=RunDir(folder / "run"),
            log=self.gate,
        )
        return ClockedChain(parts, self.clock)


def endless(workload: Workload, settings: list[Setting]) -> Resolved:
    """The workload's configuration as a run of two generations that is long, and never evaluated on its way."""
    length: list[Setting] = [
        ("generations", 2),
        ("controls", []),
        ("track", []),
        ("pretrained", "none"),
        ("recipe.epochs", _EPOCHS),
        ("recipe.evaluate_every", _EPOCHS),
        ("recipe.views_per_epoch", _STEPS_PER_EPOCH * workload.batch_size),
        ("recipe.early_stopping", None),
    ]
    if not workload.compile:
        length.append(("speed.compile", "never"))
    base = workload.resolved.config.plain()
    return resolve(workload.resolved.spec, Request(base=base, settings=[*length, *settings]))


def ours(workload: Workload) -> EngineRow:
    """The student taught by the teacher, step by step."""
    return EngineRow(workload, taught=True)


def three_students(workload: Workload) -> EngineRow:
    """Three copies of the student, taught side by side: each batch is made and answered once."""
    student = workload.resolved.config.networks[STUDENT].model_dump(mode="json")
    return EngineRow(workload, taught=True, settings=[("students", [student] * 3)])


def ours_cached(workload: Workload) -> EngineRow:
    """The same with the teacher's answers kept, one view of each image; ready once all are there."""
    return EngineRow(workload, taught=True, kept=True)


def student(workload: Workload) -> EngineRow:
    """The same student, taught by nobody."""
    return EngineRow(workload, taught=False)
