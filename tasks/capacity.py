"""Presets of the capacity study (reference 004): ResNets of unlike capacity on CIFAR-10, by logits and by features.

The abstract gives no recipe. The study's repository (github.com/umutonuryasar/kd-capacity-gap) does, and has the
figures of its second version: selected on a validation part of 5,000 images, where the abstract's were the best epoch
on the test set. In them the fault that left projectors out of clipping costs nothing (95.00 against 94.95).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from densedistill.datasets.augment import ClassificationAugmentation
from densedistill.datasets.classification import ClassificationData
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.spec import NetworkSpec, Preset, Reference

_REDONE = (
    "reference 004's repository, final_results.csv and teachers.csv (CIFAR-10): selected on 5,000 images, 3-5 seeds"
)
_ABSTRACT = "reference 004 (CIFAR-10): mean of 3 seeds, best epoch on the test set"
_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    nesterov=True,
    weight_decay=5e-4,
    min_learning_rate=1e-4,
    epochs=100,
    batch_size=128,
    clip_norm=1.0,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pair:
    teacher: int
    """Layers of the teacher, a ResNet as the student."""
    student: int
    logit: tuple[float, float]
    """α and T, chosen on validation by the study."""
    feature: float
    """α."""
    alone: tuple[str, str]
    """Test accuracy of the teacher and of the student without it, as `mean ± std` in percent."""
    taught: tuple[str, str]
    """Of the student by logits and by features."""
    unclipped: str = ""
    """By features, projectors left out of clipping; empty where the study has no figure."""
    abstract: tuple[float, float] | None = None
    """The abstract's figures of the student alone and by features."""


_PAIRS = (
    _Pair(
        teacher=50,
        student=18,
        logit=(0.5, 4.0),
        feature=0.7,
        alone=("95.36 ± 0.18", "94.86 ± 0.14"),
        taught=("94.91 ± 0.08", "94.95 ± 0.20"),
        unclipped="95.00 ± 0.18",
    ),
    _Pair(
        teacher=34,
        student=18,
        logit=(0.7, 2.0),
        feature=0.7,
        alone=("95.30 ± 0.09", "94.86 ± 0.14"),
        taught=("94.78 ± 0.09", "94.98 ± 0.15"),
    ),
    _Pair(
        teacher=50,
        student=34,
        logit=(0.3, 3.0),
        feature=0.5,
        alone=("95.36 ± 0.18", "95.04 ± 0.13"),
        taught=("95.13 ± 0.16", "95.24 ± 0.10"),
        abstract=(95.25, 95.55),
    ),
)


def capacities() -> dict[str, Preset]:
    """`capacity-50-18` and the like by logits, with `-feature` by features, with `-feature-unclipped` with the fault.

    Any of them with the stem of ImageNet: `--set networks.N.arguments.stem=imagenet` for N 0 and 1.
    """
    return {name: preset for pair in _PAIRS for name, preset in _presets(pair)}


def _presets(pair: _Pair) -> Iterator[tuple[str, Preset]]:
    name = f"capacity-{pair.teacher}-{pair.student}"
    alone, both = (None, None) if pair.abstract is None else ((pair.abstract[0], None), pair.abstract)
    logits = {"alpha": pair.logit[0], "temperature": pair.logit[1]}
    features = {"alpha": pair.feature, "cosine_weight": 0.5, "projector": "linear"}
    fault = _RECIPE.changed({"clip_projectors": False})
    yield name, _preset(pair, "Logit-KD", "kd", logits, pair.taught[0], abstract=alone)
    yield f"{name}-feature", _preset(pair, "Feature-KD", "feature", features, pair.taught[1], abstract=both)
    unclipped = "Feature-KD, projectors left out of clipping"
    yield f"{name}-feature-unclipped", _preset(pair, unclipped, "feature", features, pair.unclipped, recipe=fault)


def _preset(
    pair: _Pair,
    what: str,
    method: str,
    parameters: Mapping[str, object],
    taught: str,
    *,
    abstract: tuple[float, float | None] | None = None,
    recipe: Recipe = _RECIPE,
) -> Preset:
    """`taught` and `abstract` are the study's figures, of the student taught so and, there, of it alone before."""
    arms = ("gen_01", "gen_02_scratch", "gen_02")
    redone = [
        _reference(arm, float(text.partition(" ")[0]), _REDONE, note=text)
        for arm, text in zip(arms, (*pair.alone, taught), strict=True)
        if text
    ]
    first = [
        _reference(arm, value, _ABSTRACT)
        for arm, value in zip(arms[1:], abstract or (None, None), strict=True)
        if value is not None
    ]
    return Preset(
        summary=f"CIFAR-10, ResNet-{pair.teacher} → ResNet-{pair.student}: {what}, 45k/5k split, small-image stem",
        chain=(NetworkSpec(name=f"timm/resnet{pair.teacher}"), NetworkSpec(name=f"timm/resnet{pair.student}")),
        recipe=recipe,
        generation_recipes={1: {"epochs": 200}},
        data=ClassificationData(
            name="cifar10",
            input_size=32,
            val_size=5000,
            augmentation=ClassificationAugmentation(crop_padding=4, flip=True),
        ),
        method=method,
        method_parameters=parameters,
        references=(*redone, *first),
    )


def _reference(arm: str, value: float, source: str, note: str = "") -> Reference:
    return Reference(arm=arm, value=value, metric="accuracy", split="test", source=source, note=note)
