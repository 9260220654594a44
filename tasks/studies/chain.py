"""Chain against direct: is the middle generation worth its training?"""

from __future__ import annotations

from typing import Any

from densedistill.distill.study import ArmDefinition, Claim, StudyDefinition
from densedistill.tasks.studies.parts import small_crops, small_crops_teacher


def _study(size: str, **fields: Any) -> StudyDefinition:
    return StudyDefinition(
        name="chain",
        size=size,
        question="Does a small student learn more from a middle student than from the large teacher itself?",
        claim=Claim(
            text="Through MobileNetV2, a half-width MobileNetV2 keeps 67.87 % of ResNet101's 79.91 %: gradual transfer "
            "is better than a direct one, of which no figure is given.",
            source="reference 003, sections 6.2 and 6.7",
            expects={"chain": "better"},
        ),
        task="cls",
        control="direct",
        varies=("networks",),
        arms={
            "direct": ArmDefinition(label="taught by generation 1", trains="gen_03_direct", against="scratch"),
            "chain": ArmDefinition(label="taught by generation 2", trains="gen_03", against="direct"),
            "scratch": ArmDefinition(label="no teacher", trains="gen_03_scratch"),
        },
        **fields,
    )


def demo() -> StudyDefinition:
    """Embedded crops; three generations of the CIFAR field's networks."""
    names = ("cifar/resnet32", "cifar/resnet14", "cifar/resnet8")
    networks = [{"name": name} for name in names]
    base = {key: value for key, value in small_crops().items() if key not in ("teacher", "student")}
    return _study("demo", base={**base, "networks": networks}, teacher=small_crops_teacher())


def paper() -> StudyDefinition:
    """The reference's networks and recipe."""
    return _study("paper", preset="paper", seeds=(0, 1, 2))


STUDIES = {"chain": {"demo": demo, "paper": paper}}
