"""The rows of a benchmark: what one must offer, which there are, and which apply to a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from densedistill.distill.errors import RequestError, unknown_name
from densedistill.tools.benchmark_request import check_unique
from densedistill.tools.benchmark_workload import Workload


class Row(Protocol):
    """One way to train the student. Made in a process of its own."""

    @property
    def precision(self) -> str:
        """What it computes in: `fp32`, `bf16`, `fp16`."""

    @property
    def runs_teacher(self) -> bool:
        """Whether a step runs the teacher's forward pass."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its figure must know."""

    def steps(self, count: int) -> None:
        """Take `count` optimiser steps; those on a GPU may still be under way when it returns."""

    def close(self) -> None:
        """Let go of what it started: loaders, threads, files."""


@runtime_checkable
class Phased(Protocol):
    """A row that can say where the time of a step goes."""

    def phases(self, count: int) -> Mapping[str, float]:
        """Seconds of a step in each phase, over `count` further steps."""


def _plain(workload: Workload) -> Row:
    from densedistill.tools.benchmark_plain import PlainRow

    return PlainRow(workload)


def _timm(workload: Workload) -> Row:
    from densedistill.tools.benchmark_timm import TimmRow

    return TimmRow(workload)


def _ours(workload: Workload) -> Row:
    from densedistill.tools.benchmark_engine import ours

    return ours(workload)


def _ours_cached(workload: Workload) -> Row:
    from densedistill.tools.benchmark_engine import ours_cached

    return ours_cached(workload)


def _student(workload: Workload) -> Row:
    from densedistill.tools.benchmark_engine import student

    return student(workload)


def _floor(workload: Workload) -> Row:
    from densedistill.tools.benchmark_floor import FloorRow

    return FloorRow(workload)


def _three_students(workload: Workload) -> Row:
    from densedistill.tools.benchmark_engine import three_students

    return three_students(workload)


def _teacher(workload: Workload) -> Row:
    from densedistill.tools.benchmark_floor import TeacherRow

    return TeacherRow(workload)


ROWS: Mapping[str, Callable[[Workload], Row]] = {
    "plain": _plain,
    "timm": _timm,
    "ours": _ours,
    "ours_cached": _ours_cached,
    "student": _student,
    "floor": _floor,
    "three_students": _three_students,
    "teacher": _teacher,
}
"""Rows by name, in the order they are measured in."""
ON_REQUEST = ("three_students", "teacher")
"""Rows that are measured only where they are named: they are parts and multiples of a step."""


def applicable(asked: Sequence[str] | None, workload: Workload) -> tuple[str, ...]:
    """The rows to measure: those asked for, or all that the task can have.

    Raises:
        RequestError: an unknown row, one named twice, or one that the task cannot have.
    """
    batch = workload.sample(2)
    labelled = batch["target"].ndim == 1 and not batch["target"].is_floating_point()
    usual = (name for name in ROWS if name not in ON_REQUEST and (labelled or name != "timm"))
    rows = tuple(usual) if asked is None else tuple(asked)
    for name in rows:
        if name not in ROWS:
            raise RequestError(unknown_name("row", name, ROWS))
    check_unique(rows, "--rows")
    if "timm" in rows and not labelled:
        task = workload.resolved.config.task
        raise RequestError(f"row 'timm' is for classification, and task '{task}' is dense: leave it out of --rows.")
    if "mixed_target" in batch and {"plain", "timm"} & set(rows):
        raise RequestError(
            "rows 'plain' and 'timm' do not mix labels: leave data.augmentation.mixup and cutmix out, or these rows."
        )
    if "teacher_input" in batch and {"plain", "timm"} & set(rows):
        raise RequestError(
            "rows 'plain' and 'timm' give both networks one input: leave the teacher's own size out, or these rows."
        )
    return tuple(name for name in ROWS if name in rows)
