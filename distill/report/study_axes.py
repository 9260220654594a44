"""Which settings of a study are axes to draw along, and which arms then belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from densedistill.distill.report.configurations import SHORT, written
from densedistill.distill.report.study_facts import StudyArmFacts, StudyFacts
from densedistill.distill.report.study_numbers import ArmNumbers, Numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Facet:
    """Arms that agree in everything but the axes of a chart."""

    label: str
    arms: tuple[ArmNumbers, ...]


def numeric_axes(study: StudyFacts) -> list[str]:
    """The axes that the study declares, then any other setting in which arms of one condition differ by a number."""
    declared = [name for name in study.axes if _numeric(study.arms, name)]
    settings = dict.fromkeys(name for arm in study.arms for name in arm.settings)
    derived = [name for name in settings if not study.axes and _numeric(study.arms, name) and _free(study.arms, name)]
    return [*declared, *derived]


def place(arm: StudyArmFacts, axis: str) -> object:
    """An arm's value on an axis; None where it has none, as a control that the axis does not touch."""
    value = arm.axes.get(axis)
    return arm.settings.get(axis) if value is None else value


def number_at(arm: StudyArmFacts, axis: str) -> float:
    """Its value where that is a number.

    Raises:
        TypeError: it is none.
    """
    value = place(arm, axis)
    if not isinstance(value, int | float):
        raise TypeError(f"{arm.arm} has no number on the axis {axis}")
    return float(value)


def values(arms: Sequence[ArmNumbers], axis: str) -> list[float]:
    """The numbers that arms have on an axis, in order."""
    return sorted({number_at(one.arm, axis) for one in arms})


def facets(numbers: Numbers, axes: Sequence[str]) -> list[Facet]:
    """The measured arms with numbers on all `axes`, apart by condition and by every other setting they differ in."""
    placed = [
        one
        for one in numbers.arms
        if one.compared is not None and all(isinstance(place(one.arm, axis), int | float) for axis in axes)
    ]
    arms = [one.arm for one in placed]
    names = dict.fromkeys(name for arm in arms for name in (*arm.axes, *arm.settings))
    others = [name for name in names if name not in axes and _free(arms, name)]
    found: dict[str, list[ArmNumbers]] = {}
    for one in placed:
        told = [_told(name, place(one.arm, name)) for name in others]
        label = ", ".join(part for part in (one.arm.condition, *told) if part)
        found.setdefault(label, []).append(one)
    return [Facet(label=label, arms=tuple(grouped)) for label, grouped in found.items()]


def called(axis: str) -> str:
    """`method.temperature` for people."""
    last = axis.rpartition(".")[2]
    names = {"temperature": "temperature T", "alpha": "share of the teacher α"}
    return names.get(last) or SHORT.get(last) or last.replace("_", " ")


def _told(name: str, value: object) -> str:
    """`temperature T 4`; a section is told by its presence."""
    if value is None:
        return ""
    return called(name) if isinstance(value, dict) else f"{called(name)} {written(value)}"


def _numeric(arms: Sequence[StudyArmFacts], axis: str) -> bool:
    found = [place(arm, axis) for arm in arms if place(arm, axis) is not None]
    numbers = [value for value in found if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(found) and len(set(numbers)) > 1


def _free(arms: Sequence[StudyArmFacts], name: str) -> bool:
    """Whether arms of one condition differ in it; what a condition fixes is told by the condition."""
    kinds: dict[str, set[str]] = {}
    for arm in arms:
        kinds.setdefault(arm.condition, set()).add(written(place(arm, name)))
    return any(len(found) > 1 for found in kinds.values())
