"""Capacity: pairs × logits or features × stems × the projector's clipping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from densedistill.distill.study import ArmDefinition, Claim, Contrast, StudyDefinition
from densedistill.tasks.studies.parts import small_crops

_CLAIM_TEXT = (
    "Students of higher capacity gain more (+0.30 points for ResNet-50 → 34 by features, +0.18 for 34 → 18, none "
    "by logits there); leaving projectors out of clipping spoils Feature-KD; the small-image stem gains the teacher "
    "over 5 points, more than any distillation, which is effective only with it."
)

Pair = tuple[str, str]
"""Builders of the teacher and the student."""


def _arms(pairs: Mapping[str, Pair]) -> dict[str, ArmDefinition]:
    """The student alone, then by logits, by features, and by features with the fault; pairs may share a student."""
    arms: dict[str, ArmDefinition] = {}
    alone: dict[str, str] = {}
    for name, (teacher, student) in pairs.items():
        chain = {"teacher": teacher, "student": student}
        if student not in alone:
            alone[student] = f"{name}-scratch"
            arms[alone[student]] = ArmDefinition(
                label=f"{student}, no teacher", trains="gen_02_scratch", settings=chain
            )
        control = alone[student]
        matching = {"method.alpha": 0.7, "method.cosine_weight": 0.5, "method.projector": "linear"}
        features = {**chain, "method": "feature", **matching}
        arms[f"{name}-logits"] = ArmDefinition(label=f"{name}, Logit-KD", settings=chain, against=control)
        arms[f"{name}-features"] = ArmDefinition(label=f"{name}, Feature-KD", settings=features, against=control)
        arms[f"{name}-unclipped"] = ArmDefinition(
            label=f"{name}, Feature-KD, projectors not clipped",
            settings={**features, "recipe.clip_projectors": False},
            against=f"{name}-features",
        )
    return arms


def _contrasts(pairs: Iterable[str]) -> dict[str, Contrast]:
    """The last pair, whose student is the larger one, against the others; the two stems.

    The first pair has the last one's teacher, the second the figures of the claim.
    """
    *others, largest = pairs
    found = {
        f"{kind}-{largest}-over-{other}": Contrast(
            label=f"{largest} − {other}, {label} (small stem)",
            of=f"small-{largest}-{kind}",
            minus=f"small-{other}-{kind}",
        )
        for kind, label in (("features", "Feature-KD"), ("logits", "Logit-KD"))
        for other in others
    }
    gain, alone = f"{largest}-features", f"{largest}-scratch"
    found["gain-by-stem"] = Contrast(
        label=f"small − ImageNet stem, {largest}",
        of=f"small-{gain}",
        minus=f"imagenet-{gain}",
    )
    found["stem-over-distillation"] = Contrast(
        label="small stem alone − Feature-KD",
        of=(f"small-{alone}", f"imagenet-{alone}"),
        minus=f"small-{gain}",
    )
    return found


def _study(size: str, pairs: Mapping[str, Pair], stems: Sequence[str], **fields: Any) -> StudyDefinition:
    conditions = {stem: {"networks.0.arguments.stem": stem, "networks.1.arguments.stem": stem} for stem in stems}
    first, *higher = pairs
    contrasts = _contrasts(pairs)
    # With the small-image stem, as the figures of the claim have it.
    gains = dict.fromkeys((*(f"small-{pair}-features" for pair in higher), *contrasts), "better")
    return StudyDefinition(
        name="capacity",
        size=size,
        question="Do students of higher capacity gain more from a teacher, and what do clipping and the stem change?",
        claim=Claim(text=_CLAIM_TEXT, source="reference 004", expects={**gains, "*-unclipped": "worse"}),
        task="cls",
        control=f"{first}-scratch",
        varies=("method", "teacher", "student", "recipe.clip_projectors"),
        conditions=conditions,
        condition_labels={"small": "small stem", "imagenet": "ImageNet stem"},
        arms=_arms(pairs),
        contrasts=contrasts,
        **fields,
    )


def demo() -> StudyDefinition:
    """Embedded crops at 16 pixels, small members of the family."""
    pairs = {
        "26-10": ("timm/resnet26", "timm/resnet10t"),
        "14-10": ("timm/resnet14t", "timm/resnet10t"),
        "26-14": ("timm/resnet26", "timm/resnet14t"),
    }
    base = {key: value for key, value in small_crops(2).items() if key not in ("teacher", "student")}
    base |= {"pretrained": "none", "data.limit": 40, "recipe.clip_norm": 1.0, "recipe.warmup_epochs": 0}
    return _study("demo", pairs, ("small", "imagenet"), seeds=(0, 1), base=base, teacher={"recipe.epochs": 8})


def paper() -> StudyDefinition:
    """The study's networks and its repository's recipe on CIFAR-10; α and T are the same for all pairs."""
    pairs = {
        "50-18": ("timm/resnet50", "timm/resnet18"),
        "34-18": ("timm/resnet34", "timm/resnet18"),
        "50-34": ("timm/resnet50", "timm/resnet34"),
    }
    return _study("paper", pairs, ("small", "imagenet"), preset="capacity-50-18", seeds=(0, 1, 2))


STUDIES = {"capacity": {"demo": demo, "paper": paper}}
