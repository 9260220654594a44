"""Temperature and the teacher's share: the grid of the reference, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from densedistill.distill.study import ArmDefinition, Claim, StudyDefinition
from densedistill.tasks.studies.parts import small_crops, small_crops_teacher

_CLAIM = Claim(
    text="High temperatures with a large share of the teacher are best (T 20, teacher's share 0.9 for ResNet-18; "
    "T 100, 0.5 for ShuffleNetV2); a low temperature with a small share is no better than no teacher.",
    source="reference 002, tables 1 and 2; its α is the labels' share, one minus ours",
    expects={"kd-temperature-20-alpha-0.9": "better"},
)


def _study(size: str, temperatures: Sequence[float], shares: Sequence[float], **fields: Any) -> StudyDefinition:
    grid = {"method.temperature": tuple(temperatures), "method.alpha": tuple(shares)}
    return StudyDefinition(
        name="temperature-alpha",
        size=size,
        question="Which temperature and which share of the teacher serve the student best?",
        claim=_CLAIM,
        task="cls",
        control="scratch",
        arms={
            "scratch": ArmDefinition(label="no teacher", trains="gen_02_scratch"),
            "kd": ArmDefinition(label="KD", grid=grid),
        },
        **fields,
    )


def demo() -> StudyDefinition:
    """Embedded crops; one seed a point, so that the map is a look and no evidence."""
    return _study(
        "demo", (1, 2, 4, 10, 20), (0.1, 0.5, 0.9, 1.0), seeds=(0,), base=small_crops(), teacher=small_crops_teacher()
    )


def paper() -> StudyDefinition:
    """The reference's grid, on its data, with ResNet-18. A share of 0 is the arm without a teacher."""
    return _study("paper", (1, 2, 4, 10, 20, 100), (0.1, 0.5, 0.9, 1.0), preset="convnext-resnet18", seeds=(0, 1, 2))


STUDIES = {"temperature-alpha": {"demo": demo, "paper": paper}}
