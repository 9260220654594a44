"""Segmentation: U-Net ResNet34 → U-Net MobileNetV2 → a slimmer one, the teacher's classes at each pixel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from densedistill.datasets.segmentation import SegmentationData, load_segmentation
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.data import TaskData
from densedistill.distill.losses import IGNORED
from densedistill.distill.metrics import MeanIoU
from densedistill.distill.prediction.application import class_colours
from densedistill.distill.prediction.views import mirrors
from densedistill.distill.spec import (
    Argument,
    MetricSpec,
    PanelCell,
    Panels,
    Preset,
    TaskSpec,
)
from densedistill.tasks.methods_dense import segmentation_methods
from densedistill.tasks.padding import predict
from densedistill.tasks.pictures import input_picture
from densedistill.tasks.registry import register
from densedistill.tasks.unets import UNETS

UNLABELLED = (224, 224, 192)
"""Colour of pixels without a class, as PASCAL VOC paints them."""


def network_arguments(_name: str, _options: SegmentationData, data: TaskData) -> Mapping[str, Argument]:
    """As many maps as there are classes."""
    return {"classes": len(data.classes)}


def shares(logits: Tensor) -> Tensor:
    """Probabilities (B, K, H, W) of the classes at each pixel."""
    return torch.softmax(logits, dim=1)


def truth_cell(entries: Mapping[str, Tensor], data: TaskData) -> PanelCell:
    """The classes in their colours."""
    return PanelCell(image=_coloured(entries["target"], len(data.classes)))


def prediction_cell(probabilities: Tensor, entries: Mapping[str, Tensor], data: TaskData) -> PanelCell:
    """The likeliest classes in their colours, and how much of the labelled ground they have right."""
    said, truth = probabilities.argmax(dim=0).cpu(), entries["target"].cpu()
    labelled = truth != IGNORED
    right = (said == truth)[labelled].double().mean().item() if labelled.any() else 1.0
    return PanelCell(image=_coloured(said, len(data.classes)), caption=f"{100 * right:.1f} % of pixels")


def _coloured(labels_HW: Tensor, classes: int) -> np.ndarray:
    colours = np.concatenate((class_colours(classes), np.array([UNLABELLED], np.uint8)))
    labels = labels_HW.cpu().numpy()
    return colours[np.where(labels == IGNORED, classes, labels)]


def paper() -> Preset:
    """A recipe for folders of images and masks."""
    return Preset(
        summary="pairs of images and class masks, 50 epochs of 256-pixel crops: U-Net ResNet34 → U-Net MobileNetV2",
        chain=UNETS,
        recipe=Recipe(
            optimizer="adamw",
            learning_rate=5e-4,
            weight_decay=1e-4,
            schedule="cosine",
            warmup_epochs=1,
            epochs=50,
            batch_size=16,
        ),
        data=SegmentationData(name="pairs", size=256),
        method="kd",
    )


def demo() -> Preset:
    """Embedded collages at 96 pixels, minutes on two cores."""
    return Preset(
        summary="collages' pieces by their material, at 96 pixels: U-Net ResNet34 → U-Net MobileNetV2 → slim",
        chain=paper().chain,
        recipe=Recipe(
            optimizer="adam", learning_rate=1e-3, schedule="cosine", warmup_epochs=1, epochs=8, batch_size=16
        ),
        data=SegmentationData(name="collage", size=96, collage_size=96, collages=(600, 60, 60)),
        method="kd",
    )


@register("seg")
def segmentation() -> TaskSpec:
    """The segmentation task."""
    return TaskSpec(
        name="seg",
        summary="segmentation: U-Net ResNet34 → U-Net MobileNetV2, by mean IoU",
        metric=MetricSpec(
            name="miou", unit="", higher_is_better=True, make=lambda _options, data: MeanIoU(len(data.classes))
        ),
        methods=segmentation_methods(),
        presets={"demo": demo(), "paper": paper()},
        datasets=("collage", "pairs"),
        load_data=load_segmentation,
        network_arguments=network_arguments,
        decided=("classes",),
        predict=predict,
        finish=shares,
        test_time={"flip": mirrors},
        panels=Panels(picture=input_picture, truth=truth_cell, prediction=prediction_cell),
    )
