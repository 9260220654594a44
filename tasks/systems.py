"""Presets for the systems of the reference documents: their networks, recipes and figures.

The capacity study's are in `capacity.py`, the literature's pairs in `peers.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from densedistill.datasets.augment import ClassificationAugmentation
from densedistill.datasets.classification import ClassificationData
from densedistill.datasets.erasing import RandomErasing
from densedistill.datasets.mixing import Mixing
from densedistill.distill.configuration.recipe import EarlyStopping, Recipe
from densedistill.distill.spec import NetworkSpec, Preset, Reference
from densedistill.tasks.capacity import capacities

_MIXED = ClassificationAugmentation(crop_padding=4, flip=True, mixup=Mixing(beta=0.8), cutmix=Mixing(beta=1.0))
_STRONG = _MIXED.model_copy(
    update={"auto_augment": "cifar10", "random_erasing": RandomErasing(probability=0.25, scale=(0.02, 0.2))}
)
_SMOOTHED = {"label_smoothing": 0.1}
_KD = {"alpha": 0.7, "temperature": 4.0}
_DKD = {"tckd_weight": 1.0, "temperature": 4.0, "hard_weight": 0.0, "warmup_epochs": 0}
"""As reference 000 gives it: no cross-entropy and no warm-up, which the authors of DKD have."""


def systems() -> dict[str, Preset]:
    """Every system by the name of its preset."""
    return {**efficientnets(), **convnexts(), **capacities()}


# -- references 000 and 001: EfficientNetV2-L → S on CIFAR-100 ---------------------------------------------------------


def efficientnets() -> dict[str, Preset]:
    """`v1` to `v4`. From `v2` on, each changes one thing of `v2`."""
    first, second = "reference 001, tables 4 and 6 (CIFAR-100)", "reference 000, tables 1 and 2 (CIFAR-100)"
    return {
        "v1": _efficientnet("Mixup and CutMix, α 0.9", "kd", {**_KD, "alpha": 0.9}, (75.75, 72.36), first, data=_MIXED),
        "v1-alpha-0.7": _efficientnet("Mixup and CutMix, α 0.7", "kd", _KD, (76.65, 76.12), second, data=_MIXED),
        "v2": _efficientnet(
            "v1 with α 0.7, AutoAugment, random erasing and label smoothing",
            "kd",
            {**_KD, **_SMOOTHED},
            (76.65, 76.19),
            second,
            earlier=((75.76, 74.21), "reference 001, table 6 (CIFAR-100)"),
        ),
        "v3": _efficientnet(
            "v2 with DKD, β 8", "dkd", {**_DKD, "nckd_weight": 8.0, **_SMOOTHED}, (76.65, 66.85), second
        ),
        "v3.1": _efficientnet(
            "v2 with DKD, β 2", "dkd", {**_DKD, "nckd_weight": 2.0, **_SMOOTHED}, (76.65, 75.63), second
        ),
        "v4": _efficientnet(
            "v2 with a teacher at 64 pixels",
            "kd",
            {**_KD, **_SMOOTHED},
            (84.39, 77.93),
            second,
            teacher_size=64,
            note="transfer efficiency over v2 22.5 % (1.74 of 7.74 points)",
        ),
    }


def _efficientnet(
    what: str,
    method: str,
    parameters: Mapping[str, object],
    figures: tuple[float, float],
    source: str,
    *,
    data: ClassificationAugmentation = _STRONG,
    teacher_size: int | None = None,
    earlier: tuple[tuple[float, float], str] | None = None,
    note: str = "",
) -> Preset:
    """`figures` are the teacher's and the student's; `earlier` those of another report of the same setting."""
    arms = ("gen_01", "gen_02")
    references = _references(source, zip(arms, figures, strict=True), note=note)
    if earlier is not None:
        references += _references(earlier[1], zip(arms, earlier[0], strict=True))
    return Preset(
        summary=f"CIFAR-100, EfficientNetV2-L → S: {what}",
        chain=(NetworkSpec(name="torchvision/efficientnet_v2_l"), NetworkSpec(name="torchvision/efficientnet_v2_s")),
        recipe=Recipe(
            optimizer="adamw",
            learning_rate=1e-3,
            weight_decay=0.05,
            warmup_epochs=5,
            epochs=200,
            batch_size=128,
            clip_norm=1.0,
            early_stopping=EarlyStopping(monitor="loss", patience=30),
        ),
        data=ClassificationData(name="cifar100", input_size=32, teacher_size=teacher_size, augmentation=data),
        method=method,
        method_parameters=parameters,
        references=references,
    )


# -- reference 002: ConvNeXt → ResNet-18 and ShuffleNetV2 on Tiny-ImageNet ---------------------------------------------


def convnexts() -> dict[str, Preset]:
    """The best setting of each student. α is the labels' share there and the teacher's here: 0.1 became 0.9."""
    return {
        "convnext-resnet18": _convnext("timm/resnet18", 20.0, 0.9, (68.63, 62.84, 53.63), "table 1"),
        "convnext-shufflenetv2": _convnext(
            "torchvision/shufflenet_v2_x1_0", 100.0, 0.5, (68.63, 65.24, 60.78), "table 2"
        ),
    }


def _convnext(
    student: str, temperature: float, alpha: float, figures: tuple[float, float, float], table: str
) -> Preset:
    """`figures` are the teacher's, the student's, and those of the same student alone."""
    arms = ("gen_01", "gen_02", "gen_02_scratch")
    return Preset(
        summary=f"Tiny-ImageNet at 64 pixels, ConvNeXt-T → {student.partition('/')[2]}: T {temperature:g}, α {alpha:g}",
        chain=(NetworkSpec(name="timm/convnext_tiny"), NetworkSpec(name=student)),
        recipe=Recipe(optimizer="adam", learning_rate=1e-3, schedule="constant", epochs=20, batch_size=128),
        data=ClassificationData(name="tiny-imagenet", input_size=64),
        method="kd",
        method_parameters={"alpha": alpha, "temperature": temperature},
        references=_references(
            f"reference 002, {table} (Tiny-ImageNet's 200 classes, official validation part)",
            zip(arms, figures, strict=True),
        ),
    )


def _references(source: str, figures: Iterable[tuple[str, float]], *, note: str = "") -> tuple[Reference, ...]:
    """`note` is of the student."""
    return tuple(
        Reference(
            arm=arm, value=value, metric="accuracy", split="test", source=source, note=note if arm == "gen_02" else ""
        )
        for arm, value in figures
    )
