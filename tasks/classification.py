"""Classification: ResNet101 → MobileNetV2 → half width → 0.35 width, by soft targets at a temperature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from densedistill.datasets.augment import ClassificationAugmentation, ColorJitter
from densedistill.datasets.classification import ClassificationData, classification_names, load_classification
from densedistill.datasets.classification_view import evaluation_view
from densedistill.datasets.mixing import Mixing
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.data import TaskData
from densedistill.distill.fidelity import class_fidelity
from densedistill.distill.metrics import Accuracy
from densedistill.distill.prediction.application import Application
from densedistill.distill.prediction.views import flips, shifts
from densedistill.distill.spec import (
    Argument,
    MetricSpec,
    NetworkSpec,
    PanelCell,
    Panels,
    Preset,
    Reference,
    TaskSpec,
)
from densedistill.tasks.methods import classification_methods
from densedistill.tasks.peers import peers
from densedistill.tasks.pictures import input_picture
from densedistill.tasks.reference_arithmetic import CLASSIFICATION_CLAIMS
from densedistill.tasks.registry import register
from densedistill.tasks.systems import systems

SIZED_FAMILIES = ("cifar/", "timm/", "torchvision/")
"""Families whose builders take the input size: it decides stems and pools."""


@runtime_checkable
class Sized(Protocol):
    """Images that tell the side of their input: none of them need be decoded to learn it."""

    input_size: int


def network_arguments(name: str, _options: ClassificationData, data: TaskData) -> Mapping[str, Argument]:
    """One output for each class; the stem follows from the size of the images."""
    classes: dict[str, Argument] = {"num_classes": len(data.classes)}
    if not name.startswith(SIZED_FAMILIES):
        return classes
    if isinstance(data.val, Sized):
        return classes | {"input_size": data.val.input_size}
    sample = next(iter(data.val.batches(1, device=torch.device("cpu"))))
    return classes | {"input_size": sample["input"].shape[-1]}


def predict(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Logits (B, K)."""
    return network(images)


def finish(logits: Tensor) -> Tensor:
    """Probabilities (B, K)."""
    return torch.softmax(logits, dim=1)


def truth_cell(entries: Mapping[str, Tensor], data: TaskData) -> PanelCell:
    """The true class by name."""
    return PanelCell(image=None, caption=data.classes[int(entries["target"])])


def prediction_cell(probabilities: Tensor, entries: Mapping[str, Tensor], data: TaskData) -> PanelCell:
    """The predicted class and its confidence."""
    confidence, place = probabilities.max(dim=0)
    return PanelCell(
        image=None,
        caption=f"{data.classes[int(place)]}, {float(confidence):.1%}",
        correct=int(place) == int(entries["target"]),
    )


def paper() -> Preset:
    """The reference's recipe on CIFAR-100."""
    source = "reference 003, sections 4 and 6 (CIFAR-100)"
    return Preset(
        summary="CIFAR-100, 200 epochs: ResNet101 → MobileNetV2 → MobileNetV2 0.5 → 0.35",
        chain=(
            NetworkSpec(name="timm/resnet101"),
            NetworkSpec(name="timm/mobilenetv2_100"),
            NetworkSpec(name="timm/mobilenetv2_050"),
            NetworkSpec(name="timm/mobilenetv2_035"),
        ),
        recipe=Recipe(optimizer="sgd", learning_rate=0.1, weight_decay=5e-4, epochs=200, batch_size=128),
        generation_recipes={3: {"learning_rate": 0.05}, 4: {"learning_rate": 0.05}},
        pretrained_teacher_recipe={"optimizer": "sgd", "learning_rate": 0.01},
        data=ClassificationData(
            name="cifar100",
            input_size=32,
            augmentation=ClassificationAugmentation(
                crop_padding=4,
                flip=True,
                color_jitter=ColorJitter(),
                mixup=Mixing(beta=0.8),
                cutmix=Mixing(beta=1.0),
            ),
        ),
        method="kd",
        references=(
            Reference(arm="gen_01", value=79.91, metric="accuracy", split="test", source=source),
            Reference(arm="gen_02", value=69.02, metric="accuracy", split="test", source=source),
            Reference(arm="gen_02_scratch", value=61.03, metric="accuracy", split="test", source=source),
            Reference(arm="gen_03", value=67.87, metric="accuracy", split="test", source=source),
        ),
    )


def demo() -> Preset:
    """Embedded photographs, small members of the same families, minutes on two cores."""
    return Preset(
        summary="crops of scikit-image's photographs, 16 pixels: ResNet-26 → MobileNetV2 → 0.5 → 0.35",
        chain=(
            NetworkSpec(name="timm/resnet26"),
            NetworkSpec(name="timm/mobilenetv2_100"),
            NetworkSpec(name="timm/mobilenetv2_050"),
            NetworkSpec(name="timm/mobilenetv2_035"),
        ),
        recipe=Recipe(
            optimizer="adamw", learning_rate=4e-3, weight_decay=0.05, warmup_epochs=0.7, epochs=7, batch_size=64
        ),
        generation_recipes={
            1: {"learning_rate": 2e-3, "epochs": 5},
            3: {"learning_rate": 8e-3},
            4: {"learning_rate": 8e-3},
        },
        data=ClassificationData(
            name="photo-crops", augmentation=ClassificationAugmentation(crop_padding=2, color_jitter=ColorJitter())
        ),
        method="kd",
        method_parameters={"alpha": 0.5},
        references=paper().references,
    )


@register("cls")
def classification() -> TaskSpec:
    """The classification task."""
    return TaskSpec(
        name="cls",
        summary="image classification: ResNet101 → MobileNetV2, by accuracy",
        claims=CLASSIFICATION_CLAIMS,
        metric=MetricSpec(
            name="accuracy", unit="%", higher_is_better=True, make=lambda _options, data: Accuracy(len(data.classes))
        ),
        methods=classification_methods(),
        presets={"demo": demo(), "paper": paper(), **systems(), **peers()},
        datasets=classification_names(),
        load_data=load_classification,
        network_arguments=network_arguments,
        decided=("num_classes",),
        predict=predict,
        finish=finish,
        fidelity=class_fidelity,
        application=Application(view=evaluation_view),
        test_time={"flip": flips, "shift": shifts},
        panels=Panels(picture=input_picture, truth=truth_cell, prediction=prediction_cell),
    )
