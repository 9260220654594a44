"""Compiling in the middle of a lesson: tried once it is warm, kept where it is faster, written down for a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

from densedistill.distill.cache.answers import Answers
from densedistill.distill.errors import first_line
from densedistill.distill.fast.compiling import (
    CompileRecord,
    CompileRecords,
    Kind,
    leaf_modules,
    record_key,
    worth_compiling,
)
from densedistill.distill.fast.prepared import PreparedTeacher
from densedistill.distill.lessons.choices import Choices
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.machine.collective import from_main
from densedistill.distill.machine.runtime import Runtime, synchronise
from densedistill.distill.outputs import Batch, Prediction

TRY_AT_STEP = 8
"""Steps an arm takes before compilation is considered: the first ones are slower, and many lessons end soon."""
WORTH_KEEPING = 0.98
"""A compiled step that takes more than this share of the eager one is noise, or worse."""
WORTH_TIMING = 100
"""Fewest steps left for which the question is asked at all: fewer never repay a compiler, and asking takes two."""

Mode = Literal["auto", "always", "never"]


class Compilation:
    """Compiles the teacher and the students of one lesson, where the steps that are left repay it.

    What was decided is written down before anything is computed with it: rounding differs between compiled and eager
    code, and a run that was killed must go on as it began.
    """

    def __init__(
        self,
        trainings: Sequence[ArmTraining],
        answers: Answers | None,
        choices: Choices,
        runtime: Runtime,
        say: Callable[[str], None],
        mode: Mode,
    ) -> None:
        self.trainings, self.answers, self.choices = trainings, answers, choices
        self.runtime, self.say, self.mode = runtime, say, mode
        self.records = CompileRecords()
        self._settled = mode == "never"

    def before(self, step: int, steps_left: int, batch: Batch, ask: Callable[[], Prediction | None]) -> None:
        """Decide, or follow what was decided, once `step` is reached. `ask` gives the teacher's answer to `batch`."""
        if self._settled or (self.mode == "auto" and step < TRY_AT_STEP):
            return
        self._settled = True
        if "compiled" not in self.choices:
            self.choices.take({"compiled": self._decide(steps_left, batch, ask)})
        else:
            self._follow(self.choices["compiled"])

    @property
    def compiled(self) -> Sequence[str]:
        """What runs compiled: `teacher`, and arms by name."""
        chosen: Sequence[str] = self.choices["compiled"] if self._settled and "compiled" in self.choices else ()
        return chosen

    # -- deciding ---------------------------------------------------------------------------------------------------

    def _decide(self, steps_left: int, batch: Batch, ask: Callable[[], Prediction | None]) -> list[str]:
        if self.mode == "auto" and steps_left < WORTH_TIMING:
            return []
        kept = []
        if self._teacher is not None and self._teacher_repays(steps_left, batch):
            kept.append("teacher")
        for training in self.trainings:
            if self._student_repays(training, steps_left, batch, ask()):
                kept.append(training.arm.plan.name)
        return kept

    def _teacher_repays(self, steps_left: int, batch: Batch) -> bool:
        teacher, answers = self._teacher, self.answers
        if teacher is None or answers is None:
            return False
        passes = answers.passes(steps_left, self.trainings[0].steps_per_epoch)

        def seconds() -> float:
            return shortest(lambda: answers.teacher(batch), self.runtime)

        return self._tried(
            "teacher", teacher.module, f"teacher {answers.teacher.name}", passes, batch, seconds, teacher.compile
        ) or self._undone(teacher.run_eagerly)

    def _student_repays(self, training: ArmTraining, steps_left: int, batch: Batch, taught: Prediction | None) -> bool:
        def compiled() -> str | None:
            training.step_module.compile_student()
            try:
                training.gradient_seconds(batch, taught, repeats=1)
            except Exception as error:  # a compiler may raise whatever it meets: the student can do without it
                return f"compiling it failed ({first_line(error)})"
            return None

        return self._tried(
            "student",
            training.arm.network,
            training.arm.plan.name,
            steps_left,
            batch,
            lambda: training.gradient_seconds(batch, taught),
            compiled,
        ) or self._undone(lambda: training.step_module.compile_student(on=False))

    def _tried(
        self,
        kind: Kind,
        network: nn.Module,
        name: str,
        steps_left: int,
        batch: Batch,
        seconds: Callable[[], float],
        compile_it: Callable[[], str | None],
    ) -> bool:
        """Whether `network` is faster compiled, and by so much that it is worth it."""
        key = record_key(kind, network, batch["input"].shape, self.runtime.precision)
        operations = leaf_modules(network)
        eager = from_main(seconds())
        decision = worth_compiling(
            steps_left, eager, self.records.get(key), operations, self.records.seconds_per_operation(kind)
        )
        if self.mode == "auto" and not from_main(decision.compile):
            return False
        self.say(f"compiling {name}: {decision.why}")
        started = time.perf_counter()
        fault = compile_it()
        if fault is not None:
            self.say(f"{name} is not compiled: {fault}")
            return False
        took = time.perf_counter() - started
        compiled = from_main(seconds())
        self.say(f"{name}: compiled in {took:.0f} s; {compiled:.3g} s a step, {eager:.3g} s without")
        if self.runtime.is_main:
            self.records.add(
                key,
                CompileRecord(
                    kind=kind,
                    operations=operations,
                    compile_seconds=max(took - compiled, 1e-3),
                    cold_seconds=max(took - compiled, 1e-3),
                    eager_seconds=eager,
                    compiled_seconds=compiled,
                ),
            )
        return self.mode == "always" or compiled < eager * WORTH_KEEPING

    @staticmethod
    def _undone(undo: Callable[[], object]) -> bool:
        undo()
        return False

    # -- following --------------------------------------------------------------------------------------------------

    def _follow(self, names: Sequence[str]) -> None:
        """Compile what was compiled before the restart."""
        if "teacher" in names and self._teacher is not None and (fault := self._teacher.compile()) is not None:
            self.say(f"the teacher was compiled before the restart and is not now: {fault}")
        for training in self.trainings:
            if training.arm.plan.name in names:
                training.step_module.compile_student()

    @property
    def _teacher(self) -> PreparedTeacher | None:
        prepared = None if self.answers is None else self.answers.teacher.prepared
        return prepared if isinstance(prepared, PreparedTeacher) else None


def shortest(call: Callable[[], object], runtime: Runtime, repeats: int = 3) -> float:
    """Seconds of the fastest of `repeats` calls."""
    times = []
    for _ in range(repeats):
        synchronise(runtime.device)
        started = time.perf_counter()
        call()
        synchronise(runtime.device)
        times.append(time.perf_counter() - started)
    return min(times)
