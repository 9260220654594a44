"""KD against scratch, on each task: is the teacher worth anything to the student?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from densedistill.distill.study import ArmDefinition, Claim, StudyDefinition
from densedistill.tasks.studies.parts import small_crops, small_crops_teacher

SCRATCH = ArmDefinition(label="no teacher", trains="gen_02_scratch")

_CLS = Claim(
    text="On CIFAR-100, MobileNetV2 reaches 69.02 % with a ResNet101 as its teacher and 61.03 % without one.",
    source="reference 003, section 4.5",
    expects={"kd": "better"},
)
_SR = Claim(
    text="A small x4 network reaches 25.79 dB with SwinIR as its teacher and 23.02 dB without one.",
    source="reference 003, section 5.1.7",
    expects={"kd": "better"},
)
_EDGES = Claim(
    text="On BSDS500, a U-Net on MobileNetV2 reaches a Dice of 0.7226 with a U-Net on ResNet34 as its teacher and "
    "0.7047 without one.",
    source="reference 003, section 5.2.8",
    expects={"kd": "better"},
)


def _study(
    task: str, size: str, claim: Claim | None, question: str, *, arms: Mapping[str, ArmDefinition], **fields: Any
) -> StudyDefinition:
    return StudyDefinition(
        name=f"kd-vs-scratch-{task}",
        size=size,
        question=question,
        claim=claim,
        task=task,
        control="scratch",
        arms={"scratch": SCRATCH, **arms},
        **fields,
    )


def _cls(size: str, **fields: Any) -> StudyDefinition:
    question = "Does a classifier learn more from a larger one's soft targets than from the labels alone?"
    return _study("cls", size, _CLS, question, arms={"kd": ArmDefinition(label="KD, soft targets")}, **fields)


def _sr(size: str, **fields: Any) -> StudyDefinition:
    question = "Does a super-resolution network gain from matching a larger one's features?"
    return _study("sr", size, _SR, question, arms={"kd": ArmDefinition(label="KD, features")}, **fields)


def _edges(size: str, **fields: Any) -> StudyDefinition:
    question = "Does an edge detector learn more from a larger one's maps than from the annotators' alone?"
    return _study("edges", size, _EDGES, question, arms={"kd": ArmDefinition(label="KD, soft maps")}, **fields)


def _seg(size: str, **fields: Any) -> StudyDefinition:
    """The references have no segmentation, and so no claim about it."""
    question = "Does a segmentation network learn more from a larger one's classes than from the masks alone?"
    return _study("seg", size, None, question, arms={"kd": ArmDefinition(label="KD, each pixel's classes")}, **fields)


def cls_demo() -> StudyDefinition:
    """Embedded crops."""
    return _cls("demo", seeds=(0, 1, 2), base=small_crops(), teacher=small_crops_teacher())


def cls_paper() -> StudyDefinition:
    """The reference's networks and recipe."""
    return _cls("paper", preset="paper", seeds=(0, 1, 2))


def sr_demo() -> StudyDefinition:
    """Embedded photographs."""
    base = {"recipe.views_per_epoch": 400, "recipe.epochs": 3}
    return _sr("demo", base=base, teacher={"recipe.views_per_epoch": 1200})


def sr_paper() -> StudyDefinition:
    """The reference's networks, recipe and degradation, blur included."""
    return _sr("paper", preset="paper", seeds=(0, 1, 2))


def edges_demo() -> StudyDefinition:
    """Embedded collages of 64 pixels."""
    base = {"data.size": 64, "data.collage_size": 64, "data.collages": [160, 30, 30], "recipe.epochs": 3}
    return _edges("demo", base=base, teacher={"recipe.epochs": 5})


def seg_demo() -> StudyDefinition:
    """Embedded collages of 64 pixels."""
    base = {"data.size": 64, "data.collage_size": 64, "data.collages": [160, 30, 30], "recipe.epochs": 3}
    return _seg("demo", base=base, teacher={"recipe.epochs": 5})


def seg_paper() -> StudyDefinition:
    """Pairs of images and masks below the data root."""
    return _seg("paper", preset="paper", seeds=(0, 1, 2))


def edges_paper() -> StudyDefinition:
    """The reference's networks and recipe."""
    return _edges("paper", preset="paper", seeds=(0, 1, 2, 3, 4))


STUDIES = {
    "kd-vs-scratch-cls": {"demo": cls_demo, "paper": cls_paper},
    "kd-vs-scratch-sr": {"demo": sr_demo, "paper": sr_paper},
    "kd-vs-scratch-edges": {"demo": edges_demo, "paper": edges_paper},
    "kd-vs-scratch-seg": {"demo": seg_demo, "paper": seg_paper},
}
