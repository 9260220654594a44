"""What a study decides for its runs, so that no layer of its settings may say it too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from densedistill.distill.errors import RequestError
from densedistill.distill.study.definition import StudyDefinition

_DECIDED: Mapping[str, str] = {
    "task": "the study has one task, in its own field `task`",
    "preset": "the study starts from one preset, in its own field `preset`",
    "plugins": "they are the study's own field `plugins`",
    "seed": "they are the study's own fields `seeds` and `teacher_seed`",
    "generations": "they follow from what each arm `trains`",
    "controls": "they follow from what each arm `trains`",
    "only": "it follows from what each arm `trains`",
}
"""Fields of a run that its place in the study decides, and where the study says them."""


def require_undecided(study: StudyDefinition) -> None:
    """See that no layer of `study` sets what every run gets from the study itself, and would be overruled by.

    Raises:
        RequestError: with every such field and where it stands.
    """
    faults = [
        f"{where}.{name} has no effect: {_DECIDED[name.partition('.')[0]]}"
        for where, layer in _layers(study)
        for name in layer
        if name.partition(".")[0] in _DECIDED
    ]
    if faults:
        raise RequestError(f"study '{study.name}': {'; '.join(faults)}. Leave them out there.")


def _layers(study: StudyDefinition) -> Iterator[tuple[str, Mapping[str, object]]]:
    yield "base", study.base
    yield "teacher", study.teacher
    for name, settings in study.conditions.items():
        yield f"conditions.{name}", settings
    for name, arm in study.arms.items():
        yield f"arms.{name}.settings", arm.settings
        yield f"arms.{name}.teacher", arm.teacher
        yield f"arms.{name}.grid", arm.grid
        if arm.search is not None:
            yield f"arms.{name}.search.fields", arm.search.fields
