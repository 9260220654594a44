"""Cross-resolution: does a student at 32 pixels gain from a teacher that sees more?"""

from __future__ import annotations

from typing import Any

from densedistill.distill.study import ArmDefinition, Claim, StudyDefinition
from densedistill.tasks.studies.parts import STRONG, small_crops

_CLAIM_TEXT = (
    "A teacher at 64 pixels in place of 32 (84.39 % against 76.65 %) raises its student at 32 pixels from 76.19 % "
    "to 77.93 %, at no cost."
)


def _study(size: str, small: int, ratios: tuple[int, ...], **fields: Any) -> StudyDefinition:
    """Ratio 1 is the control of the others; its own is the student alone. Teachers differ in their input alone."""
    arms = {"scratch": ArmDefinition(label="no teacher", trains="gen_02_scratch")}
    first = f"teacher-{small}"
    for ratio in ratios:
        side = small * ratio
        arms[f"teacher-{side}"] = ArmDefinition(
            label=f"teacher at {side} pixels",
            settings={"data.teacher_size": side},
            against="scratch" if ratio == 1 else first,
        )
    return StudyDefinition(
        name="cross-resolution",
        size=size,
        question=f"Does a student at {small} pixels learn more from a teacher that sees the same image larger?",
        claim=Claim(
            text=_CLAIM_TEXT,
            source="reference 000, sections 3.2 and 4.3",
            expects={f"teacher-{2 * small}": "better"},
        ),
        task="cls",
        control="scratch",
        varies=("data.teacher_size",),
        arms=arms,
        **fields,
    )


def demo() -> StudyDefinition:
    """Embedded crops reduced to 16 pixels and enlarged from them: the claim's larger teacher sees no more detail."""
    base = {**small_crops(), "data.input_size": 16, "data.detail": 16}
    return _study(
        "demo", 16, (1, 2, 4), seeds=(0, 1, 2), base={**base, "data.limit": 100}, teacher={"recipe.epochs": 8}
    )


def paper() -> StudyDefinition:
    """The reference's networks and recipe on CIFAR-100; beyond 32 pixels images are enlarged, as there.

    Without its early stopping, which would end arms at different points of their schedules.
    """
    base = {"data.augmentation": STRONG, "recipe.early_stopping": None}
    return _study("paper", 32, (1, 2, 4), preset="v2", seeds=(0, 1, 2), base=base)


STUDIES = {"cross-resolution": {"demo": demo, "paper": paper}}
