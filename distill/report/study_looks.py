"""How each arm of a study is drawn in every figure."""

from __future__ import annotations

from collections.abc import Sequence

from densedistill.distill.report.drawing import DASHES, PALETTE, Stroke, ramp, unlike
from densedistill.distill.report.study_axes import numeric_axes, place
from densedistill.distill.report.study_facts import StudyArmFacts, StudyFacts
from densedistill.distill.report.study_numbers import is_taught


def study_strokes(study: StudyFacts) -> dict[str, Stroke]:
    """A stroke for each arm; a sequence of colours only for more arms than the palette has, along a numeric axis."""
    return _strokes(study, study.arms)


def condition_strokes(study: StudyFacts) -> dict[str, Stroke]:
    """The same where each condition has a frame of its own: an arm looks alike under every condition."""
    first: dict[str, StudyArmFacts] = {}
    for arm in study.arms:
        first.setdefault(bare_label(arm), arm)
    found = _strokes(study, list(first.values()))
    return {arm.arm: found[first[bare_label(arm)].arm] for arm in study.arms}


def bare_label(arm: StudyArmFacts) -> str:
    """An arm's name for people without its condition."""
    return arm.label.removesuffix(f" ({arm.condition})")


def _strokes(study: StudyFacts, arms: Sequence[StudyArmFacts]) -> dict[str, Stroke]:
    found = {}
    along = _along(study, arms)
    for number, arm in enumerate(arms):
        control = is_control(study, arm)
        found[arm.arm] = unlike(
            number,
            len(arms),
            dashes=DASHES["scratch"] if control else (),
            hollow=control,
            colour=ramp(along.index(arm.arm), len(along)) if arm.arm in along else None,
        )
    return found


def is_control(study: StudyFacts, arm: StudyArmFacts) -> bool:
    """Whether an arm is drawn as a control: one without a teacher, or that is itself compared with nothing."""
    compared = any(name == arm.arm for name, _ in study.pairs)
    return arm.role == "control" and not (is_taught(arm) and compared)


def _along(study: StudyFacts, arms: Sequence[StudyArmFacts]) -> list[str]:
    """The arms on the first numeric axis that the study declares, in order."""
    if len(arms) <= len(PALETTE) or not study.axes:
        return []
    axes = numeric_axes(study)
    return [arm.arm for arm in arms if axes and isinstance(place(arm, axes[0]), int | float)]
