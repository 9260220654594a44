"""The record of a finished arm: what it is, what it started from, how its training went and what it reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from densedistill.distill.assembly import Assembled
from densedistill.distill.data import TaskData
from densedistill.distill.lessons.counters import Counters
from densedistill.distill.scoring import Scores

COPIED = (
    "arm",
    "generation",
    "role",
    "teacher",
    "network",
    "params",
    "init",
    "val",
    "test",
    "tests",
    "fidelity",
    "epochs",
    "seconds",
    "images_per_second",
    "peak_memory_mb",
    "latency_ms",
    "notes",
)
"""Of the keys of `record_of`, those that result.json repeats as they are."""


@dataclass(kw_only=True, slots=True)
class Course:
    """How an arm's training went, as far as it has."""

    counters: Counters = field(default_factory=Counters)
    """As they stood at its end; all zero where nothing was trained."""
    notes: list[str]
    notices: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What an arm reached, and what that took."""

    scores: Scores
    fidelity: Mapping[str, Any]
    peak_megabytes: float
    latency_ms: float


def record_of(
    assembled: Assembled,
    course: Course,
    measured: Measured,
    *,
    metric: str,
    data: TaskData,
    arguments: Mapping[str, Any],
    builder: str,
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """arm.json of a finished arm.

    Args:
        assembled: the arm, with its selected weights.
        course: of its training.
        measured: of those weights.
        metric: name of the task's main figure.
        data: as the arm takes it.
        arguments: its network was built with.
        builder: the module that built it.
        environment: it was trained in.
    """
    arm, scores = assembled.arm, measured.scores
    return {
        "arm": arm.plan.name,
        "generation": arm.plan.generation,
        "role": arm.plan.role,
        "variant": arm.plan.variant,
        "teacher": arm.plan.teacher,
        "network": arm.spec.name,
        "arguments": dict(arguments),
        "taps": list(arm.spec.taps),
        "adapter": arm.adapter,
        "builder": builder,
        "input_mean": list(data.input_mean),
        "input_std": list(data.input_std),
        "classes": list(data.classes),
        "recipe": arm.recipe.model_dump(mode="json"),
        "params": sum(value.numel() for value in arm.network.parameters()),
        "init": assembled.init,
        "val": scores.val[metric],
        "val_metrics": scores.val,
        "test": next(iter(scores.tests.values()))[metric] if scores.tests else None,
        "tests": scores.tests,
        "fidelity": measured.fidelity,
        "speed": {"teacher": None if arm.teacher is None else arm.teacher.path()},
        **_pace(course.counters),
        "peak_memory_mb": round(measured.peak_megabytes, 1),
        "latency_ms": round(measured.latency_ms, 3),
        "notes": list(course.notes),
        "notices": list(course.notices),
        "environment": environment,
    }


def _pace(done: Counters) -> dict[str, Any]:
    """A training's length and speed."""
    return {
        "epochs": done.epoch,
        "seconds": round(done.seconds, 3),
        "images_per_second": round(done.images / done.seconds, 3) if done.seconds else 0.0,
    }
