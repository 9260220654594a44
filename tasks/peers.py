"""Presets for the pairs that CIFAR-100 distillation is compared on, with the recipe and figures of that literature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from densedistill.datasets.augment import ClassificationAugmentation
from densedistill.datasets.classification import ClassificationData
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.spec import NetworkSpec, Preset, Reference

_SOURCE = "Tian, Krishnan and Isola 2020 (CRD), tables 1 and 2: CIFAR-100, trained on all 50,000 images"


@dataclass(frozen=True, slots=True)
class _Pair:
    teacher: str
    student: str
    figures: tuple[float, float, float]
    """Accuracy of the teacher, of the student alone, and of the student taught by KD."""
    methods: Mapping[str, Mapping[str, object]]
    """What methods' authors take for this pair, where that is not the method's default."""
    learning_rate: float = 0.05
    """The student's; the light networks take a fifth."""


def _authors(beta: float, review: float | None, **more: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """Parameters by method: DKD's β (mdistiller, configs/cifar100/dkd), ReviewKD's weight (its repository,
    CIFAR-100/script/reviewKD.sh; None: that has not the pair), NKD's for CIFAR-100 (cls_KD), and `more`."""
    known: dict[str, Mapping[str, object]] = {"dkd": {"nckd_weight": beta}, "nkd": {"gamma": 3.5, "temperature": 3.0}}
    return known | ({} if review is None else {"reviewkd": {"weight": review}}) | more


_LSKD_ON_DKD = {"lskd-dkd": {"tckd_weight": 18.0, "nckd_weight": 36.0, "temperature": 3.0}}
"""For ResNet-56 → ResNet-20, by the logs of LSKD's authors."""

_PAIRS = (
    _Pair("resnet32x4", "resnet8x4", (79.42, 72.50, 73.33), _authors(8.0, 5.0)),
    _Pair("resnet56", "resnet20", (72.34, 69.06, 70.66), _authors(2.0, 0.6, **_LSKD_ON_DKD)),
    _Pair("resnet110", "resnet32", (74.31, 71.14, 73.08), _authors(2.0, 1.0)),
    _Pair("wrn-40-2", "wrn-16-2", (75.61, 73.26, 74.92), _authors(6.0, 5.0)),
    _Pair("wrn-40-2", "wrn-40-1", (75.61, 71.98, 73.54), _authors(6.0, 5.0)),
    _Pair("vgg13", "vgg8", (74.64, 70.36, 72.98), _authors(6.0, None)),
    _Pair("resnet50", "mobilenetv2", (79.34, 64.60, 67.35), _authors(8.0, None), learning_rate=0.01),
    _Pair("resnet32x4", "shufflenetv2", (79.42, 71.82, 74.45), _authors(8.0, 8.0), learning_rate=0.01),
)


def peers() -> dict[str, Preset]:
    """`resnet32x4-resnet8x4` and the like: KD with T 4 and α 0.9, and any other method by `--method`."""
    return {f"{pair.teacher}-{pair.student}": _preset(pair) for pair in _PAIRS}


def _preset(pair: _Pair) -> Preset:
    arms = ("gen_01", "gen_02_scratch", "gen_02")
    return Preset(
        summary=f"CIFAR-100, 240 epochs: {pair.teacher} → {pair.student}, as CRD and DKD train them",
        chain=(NetworkSpec(name=f"cifar/{pair.teacher}"), NetworkSpec(name=f"cifar/{pair.student}")),
        recipe=Recipe(
            optimizer="sgd",
            learning_rate=0.05,
            weight_decay=5e-4,
            schedule="steps",
            milestones=(150, 180, 210),
            gamma=0.1,
            epochs=240,
            batch_size=64,
        ),
        generation_recipes={} if pair.learning_rate == 0.05 else {2: {"learning_rate": pair.learning_rate}},
        data=ClassificationData(
            name="cifar100", input_size=32, augmentation=ClassificationAugmentation(crop_padding=4, flip=True)
        ),
        method="kd",
        method_parameters={"alpha": 0.9, "temperature": 4.0},
        methods=pair.methods,
        references=tuple(
            Reference(arm=arm, value=value, metric="accuracy", split="test", source=_SOURCE)
            for arm, value in zip(arms, pair.figures, strict=True)
        ),
    )
