"""The arms of a study: conditions × arms × grids, each with its settings."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from densedistill.distill.arm_names import ArmName
from densedistill.distill.configuration.immaterial import among
from densedistill.distill.errors import RequestError
from densedistill.distill.study.definition import ArmDefinition, Search, StudyDefinition
from densedistill.distill.study.layers import merged

ArmRole = Literal["control", "method", "search"]

_TAUGHT = ("teacher", "networks.0", "generation_recipes.1", "pretrained_teacher_recipe", "teacher_weights", "data")
"""Fields of an arm that describe its teacher, or the data that both see."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyArm:
    """One setting, to be run with one or more seeds."""

    name: str
    label: str
    role: ArmRole
    """`control`: others are compared with it. `search`: a point that a search tried, with one seed; no evidence."""
    trains: str
    settings: Mapping[str, Any]
    """What it changes in the study's base; without the fields that are still to be searched."""
    teacher: Mapping[str, Any]
    """All that its teacher's training changes in the task's preset; empty for an arm without a teacher."""
    against: str | None
    condition: str | None
    axes: Mapping[str, Any]
    """Its place in the grid."""
    seeds: tuple[int, ...]
    search: Search | None = None
    """Of a point: what is still to be sampled."""
    points: tuple[str, ...] = field(default=())
    """Of the arm that a search ends with: the points among which it is the best."""

    @property
    def generation(self) -> int:
        """Which network of the chain it trains."""
        return ArmName.parse(self.trains).generation

    @property
    def taught(self) -> bool:
        """Whether it has a teacher."""
        return ArmName.parse(self.trains).kind in ("student", "direct")


def study_arms(study: StudyDefinition) -> tuple[StudyArm, ...]:
    """All arms of `study`, in the order in which they are to be run: controls of each condition first.

    Raises:
        RequestError: two arms come out with one name.
    """
    controls = {study.control, *(arm.against for arm in study.arms.values() if arm.against)}
    arms: list[StudyArm] = []
    conditions: Sequence[str | None] = tuple(study.conditions) or (None,)
    for condition in conditions:
        ordered = sorted(study.arms.items(), key=lambda item: item[0] not in controls)
        for name, definition in ordered:
            arms += _expanded(study, condition, name, definition, is_control=name in controls)
    names = [arm.name for arm in arms]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise RequestError(f"study '{study.name}' has several arms named {', '.join(double)}: rename one of them.")
    return tuple(arms)


def axes_of(arms: Sequence[StudyArm]) -> dict[str, list[Any]]:
    """Every field of a grid, with its values in order."""
    axes: dict[str, list[Any]] = {}
    for arm in arms:
        for name, value in arm.axes.items():
            values = axes.setdefault(name, [])
            if value not in values:
                values.append(value)
    return axes


def _expanded(
    study: StudyDefinition, condition: str | None, name: str, definition: ArmDefinition, *, is_control: bool
) -> Iterator[StudyArm]:
    """The arms of one definition under one condition."""
    under: Mapping[str, Any] = {} if condition is None else study.conditions[condition]
    title = definition.label or name
    called = "" if condition is None else f" ({study.condition_labels.get(condition, condition)})"
    # Two students without a teacher answer no question of distillation, unless the study asks it.
    implied = None if ArmName.parse(definition.trains).kind == "scratch" else study.control
    against = None if name == study.control else definition.against or implied
    for place in _places(definition.grid):
        full = "-".join(
            [*([condition] if condition else []), name, *(_word(key, value) for key, value in place.items())]
        )
        words = [title, *(f"{_short(key)} {_shown(value)}" for key, value in place.items())]
        own = merged(definition.settings, place, under)
        arm = StudyArm(
            name=full,
            label=", ".join(words) + called,
            role="control" if is_control else "method",
            trains=definition.trains,
            settings=own,
            teacher=teacher_settings(study, own, definition.teacher),
            against=against if against is None or condition is None else f"{condition}-{against}",
            condition=condition,
            axes=place,
            seeds=study.seeds,
        )
        yield from [arm] if definition.search is None else _searched(arm, definition.search)


def _places(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _searched(arm: StudyArm, search: Search) -> Iterator[StudyArm]:
    """The points of a search, then the arm that the best of them becomes."""
    points = tuple(f"{arm.name}-point-{place:02d}" for place in range(search.points))
    for place, point in enumerate(points):
        yield replace(
            arm, name=point, label=f"{arm.label}, point {place}", role="search", seeds=arm.seeds[:1], search=search
        )
    yield replace(arm, name=f"{arm.name}-best", label=f"{arm.label}, best of {search.points} points", points=points)


def teacher_settings(study: StudyDefinition, own: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the training of an arm's teacher changes in the preset: the arm's fields that describe it, then its own."""
    describing = {name: value for name, value in own.items() if among(name, _TAUGHT)}
    return merged(study.base, describing, study.teacher, changes)


def sampled_name(arm: str, name: str) -> str:
    """The name of a searched field among Optuna's parameters: points of one search share it, other searches do not."""
    return f"{re.sub(r'-point-[0-9]+$', '', arm)}:{name}"


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    return "none" if value is None else str(value)


def _word(name: str, value: Any) -> str:
    """A piece of a folder's name: `temperature-4`."""
    text = f"{_short(name)}-{_shown(value)}".lower()
    return re.sub(r"-+", "-", re.sub(r"[^a-z0-9.]+", "-", text)).strip("-")
