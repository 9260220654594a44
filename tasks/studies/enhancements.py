"""The five enhancements of the reference's second version: what each adds alone, and what is lost without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from densedistill.distill.study import ArmDefinition, Claim, StudyDefinition
from densedistill.tasks.studies.parts import MIXED, small_crops, small_crops_teacher

_CLAIM = Claim(
    text="AutoAugment adds 0.5 to 1.0 points, random erasing 0.2 to 0.5, label smoothing 0.3 to 0.5, warm-up 0.2 to "
    "0.3 and α 0.7 in place of 0.9 adds 0.3 to 0.5: together 1.85 (72.36 % to 74.21 %). None has an arm of its own.",
    source="reference 001, section 6.1",
    expects={"v2": "better", "add-*": "better", "leave-*": "worse"},
)
_ERASING = {"probability": 0.25, "scale": [0.02, 0.2]}


def _parts(warmup: float) -> dict[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Each enhancement: its label, the settings without it and those with it."""
    policy, erasing = "data.augmentation.auto_augment", "data.augmentation.random_erasing"
    return {
        "autoaugment": ("AutoAugment", {policy: None}, {policy: "cifar10"}),
        "erasing": ("random erasing", {erasing: None}, {erasing: _ERASING}),
        "smoothing": ("label smoothing", {"method.label_smoothing": 0.0}, {"method.label_smoothing": 0.1}),
        "warmup": ("warm-up", {"recipe.warmup_epochs": 0}, {"recipe.warmup_epochs": warmup}),
        "alpha": ("α 0.7 for 0.9", {"method.alpha": 0.9}, {"method.alpha": 0.7}),
    }


def _study(size: str, warmup: float, base: Mapping[str, Any], **fields: Any) -> StudyDefinition:
    """Version 1 with each enhancement, version 2 without each: where the two disagree, they depend on each other."""
    parts = _parts(warmup)
    without = {key: value for _label, off, _on in parts.values() for key, value in off.items()}
    complete = {key: value for _label, _off, on in parts.values() for key, value in on.items()}
    arms = {"v1": ArmDefinition(label="version 1")}
    arms["v2"] = ArmDefinition(label="version 2, all five", settings=complete)
    for name, (label, _off, on) in parts.items():
        arms[f"add-{name}"] = ArmDefinition(label=f"version 1 with {label}", settings=dict(on))
    for name, (label, off, _on) in parts.items():
        arms[f"leave-{name}"] = ArmDefinition(
            label=f"version 2 without {label}", settings={**complete, **off}, against="v2"
        )
    return StudyDefinition(
        name="enhancements",
        size=size,
        question="How much of version 2's gain is owed to each of its five enhancements?",
        claim=_CLAIM,
        task="cls",
        control="v1",
        varies=tuple(complete),
        base={**base, "data.augmentation": {**MIXED, "auto_augment": None, "random_erasing": None}, **without},
        arms=arms,
        **fields,
    )


def demo() -> StudyDefinition:
    """Embedded crops; one teacher, trained without mixing, for all arms."""
    plain = {"data.augmentation": {"crop_padding": 2}}
    return _study("demo", 1, small_crops(), seeds=(0, 1), teacher={**small_crops_teacher(), **plain})


def paper() -> StudyDefinition:
    """The reference's networks and recipe on CIFAR-100, with the teacher of version 1 for all arms.

    It names no early stopping.
    """
    whole = {"recipe.early_stopping": None}
    return _study(
        "paper", 5, whole, preset="v1", seeds=(0, 1, 2), teacher={"data.augmentation": MIXED, "recipe.warmup_epochs": 5}
    )


STUDIES = {"enhancements": {"demo": demo, "paper": paper}}
