"""What a reader should know before believing a comparison: said as warnings, never mended in silence."""

from __future__ import annotations

from typing import Any

from densedistill.distill.configuration.config import Difference, Resolved, differences
from densedistill.distill.configuration.immaterial import IMMATERIAL, among
from densedistill.distill.study.arms import StudyArm, axes_of
from densedistill.distill.study.layers import FLAGS, REPLACED
from densedistill.distill.study.plan import StudyPlan

_TEACHER = "teacher"
_OF_THE_RUN = ("seed", "only", "controls", "generations", "preset", "teacher_run", "teacher_weights")
"""Fields that say which arm a run trains, and not how."""


def warnings_of(plan: StudyPlan) -> list[str]:
    """Differences between compared arms that the question does not name; a single seed; more than one teacher."""
    study = plan.study
    found = []
    if len(study.seeds) == 1:
        found.append(f"one seed ({study.seeds[0]}): no test is computed, and no difference can be shown")
    for (name, against), why in _pairs(plan).items():
        fields = compared(plan, plan.arm(name), plan.arm(against))
        unnamed = [field for field in fields if not _is_named(plan, field.path)]
        if unnamed:
            found.append(
                f"{name} differs from {against}, {why}, also in what the question does not name "
                f"({'; '.join(map(str, unnamed))}): name these fields under varies, or make them equal"
            )
    return found


def _pairs(plan: StudyPlan) -> dict[tuple[str, str], str]:
    """Arms that are to differ in nothing but what the question names, with what the second is to the first."""
    found = {
        (arm.name, arm.against): "its control" for arm in plan.arms if arm.against is not None and arm.role != "search"
    }
    for one in plan.contrasts:
        # The two controls may differ as their arms do; that their arms differ in nothing more is enough.
        for pair in (one.of, one.minus, (one.of[0], one.minus[0])):
            if pair[0] != pair[1]:
                found.setdefault(pair, f"its counterpart in contrast {one.name}")
    return found


def notes_of(plan: StudyPlan) -> list[str]:
    """What holds of the study by its design."""
    notes = list(plan.study.notes)
    if plan.teachers and plan.study.teachers == "shared" and len(plan.study.seeds) > 1:
        notes.append("one teacher for all seeds: the spread over seeds does not hold the teacher's own")
    notes += [
        f"{arm.name} is the best of {len(arm.points)} points by validation with seed {arm.seeds[0]}, one of its seeds"
        for arm in plan.arms
        if arm.points
    ]
    return notes


def compared(plan: StudyPlan, arm: StudyArm, other: StudyArm) -> list[Difference]:
    """Fields in which two arms' training differs, the other's first; their teachers' own if both have one."""
    both_taught = arm.taught and other.taught
    mine, theirs = (_training(plan.configs[one.name], taught=both_taught) for one in (arm, other))
    own = [field for field in differences(theirs, mine) if not among(field.path, (*_OF_THE_RUN, *IMMATERIAL))]
    return [*own, *(_of_teachers(plan, arm, other) if both_taught else [])]


def _of_teachers(plan: StudyPlan, arm: StudyArm, other: StudyArm) -> list[Difference]:
    """Fields in which their teachers' making differs, with `teacher.` before their paths."""
    mine, theirs = (plan.teachers[plan.taught_by[one.name, one.seeds[0]]].fields for one in (arm, other))
    return differences(theirs, mine, f"{_TEACHER}.")


def _training(resolved: Resolved, *, taught: bool) -> dict[str, Any]:
    """How an arm is trained. Where one of the two has no teacher, methods differ by nature: what they have in common
    is how labels are taken."""
    plain = resolved.config.plain()
    plain["networks"] = {str(place): network for place, network in enumerate(plain["networks"])}
    if not taught:
        plain["method"] = {key: plain["method"][key] for key in ("label_smoothing",) if key in plain["method"]}
        del plain["networks"]["0"]
        plain["data"].pop("teacher_size", None)
        plain["generation_recipes"].pop("1", None)
    return plain


def _is_named(plan: StudyPlan, path: str) -> bool:
    """Whether the question is about `path`: by `varies`, as a field of a grid, a search, or a condition."""
    study = plan.study
    fields: list[str] = [
        *study.varies,
        *axes_of(plan.arms),
        *(name for one in study.conditions.values() for name in one),
    ]
    for one in plan.arms:
        fields += [] if one.search is None else list(one.search.fields)
    parts = [REPLACED.get(name, FLAGS.get(name, name)) for name in fields]
    # A field that the question names may differ in the teacher's making too.
    own = path.removeprefix(f"{_TEACHER}.")
    return among(path, [*parts, *fields]) or among(own, [*parts, *fields])
