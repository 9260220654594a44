"""A study's contrasts: differences of two differences, each worked out before any arm is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.study.arms import StudyArm
from densedistill.distill.study.definition import Contrast, StudyDefinition


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyContrast:
    """(`of` first minus second) minus (`minus` first minus second), by seed."""

    name: str
    label: str
    of: tuple[str, str]
    """Full names of two arms."""
    minus: tuple[str, str]


def contrasts_of(study: StudyDefinition, arms: Sequence[StudyArm]) -> tuple[StudyContrast, ...]:
    """All contrasts of `study`, with the control of each arm in place.

    Raises:
        RequestError: every contrast that cannot be meant, in one message: an arm that there is not, one that stands
            alone and is compared with nothing, a difference with itself, or a name that an arm has.
    """
    known = {arm.name: arm for arm in arms if arm.role != "search"}
    found: list[StudyContrast] = []
    faults: list[str] = []
    for name, contrast in study.contrasts.items():
        try:
            found.append(_worked_out(name, contrast, known))
        except RequestError as error:
            faults.append(f"contrast '{name}': {str(error).removesuffix('.')}")
    if faults:
        raise RequestError(f"study '{study.name}': {'; '.join(faults)}.")
    return tuple(found)


def _worked_out(name: str, contrast: Contrast, known: Mapping[str, StudyArm]) -> StudyContrast:
    if name in known:
        raise RequestError("an arm has this name too: rename one of them.")
    of, minus = (_pair(side, known) for side in (contrast.of, contrast.minus))
    if of == minus:
        raise RequestError(f"both of its differences are {of[0]} minus {of[1]}: give two that are not the same.")
    label = contrast.label or f"{known[of[0]].label} \N{MINUS SIGN} {known[of[1]].label}"
    return StudyContrast(name=name, label=label, of=of, minus=minus)


def _pair(side: str | tuple[str, str], known: Mapping[str, StudyArm]) -> tuple[str, str]:
    """An arm and its control."""
    for name in (side,) if isinstance(side, str) else side:
        if name not in known:
            raise RequestError(unknown_name("arm", name, known))
    if isinstance(side, tuple):
        if side[0] == side[1]:
            raise RequestError(f"{side[0]} minus itself is nothing: give two arms.")
        return side
    control = known[side].against
    if control is None:
        raise RequestError(f"{side} is compared with nothing, so it has no difference: give [{side}, OTHER_ARM].")
    return side, control
