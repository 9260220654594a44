"""Edge detection: U-Net ResNet34 → U-Net MobileNetV2 → a slimmer one, the teacher's probabilities as soft maps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from densedistill.datasets.edges import EdgeData, load_edges
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.data import TaskData
from densedistill.distill.metrics import Dice
from densedistill.distill.prediction.scales import scales
from densedistill.distill.prediction.views import mirrors
from densedistill.distill.spec import (
    Argument,
    MetricSpec,
    PanelCell,
    Panels,
    Preset,
    Reference,
    TaskSpec,
)
from densedistill.tasks.edge_benchmark import benchmark
from densedistill.tasks.methods_dense import edge_methods
from densedistill.tasks.padding import predict
from densedistill.tasks.pictures import as_pixels, input_picture
from densedistill.tasks.reference_arithmetic import EDGE_CLAIMS
from densedistill.tasks.registry import register
from densedistill.tasks.unets import UNETS


def network_arguments(_name: str, _options: EdgeData, _data: TaskData) -> Mapping[str, Argument]:
    """Nothing follows from the data: three channels in, one map out, whatever the size."""
    return {}


def truth_cell(entries: Mapping[str, Tensor], _data: TaskData) -> PanelCell:
    """The boundary map."""
    return PanelCell(image=as_pixels(entries["target"]))


def prediction_cell(probabilities: Tensor, _entries: Mapping[str, Tensor], _data: TaskData) -> PanelCell:
    """The predicted probabilities as grey values."""
    return PanelCell(image=as_pixels(probabilities))


def paper() -> Preset:
    """The reference's recipe on BSDS500."""
    source = "reference 003, section 5.2 (BSDS500 at 256x256, epoch 15)"
    return Preset(
        summary="BSDS500, 15 epochs of 800 views at 256 pixels: U-Net ResNet34 → U-Net MobileNetV2 → slim",
        chain=UNETS,
        recipe=Recipe(
            optimizer="adam",
            learning_rate=3e-4,
            schedule="plateau",
            plateau_patience=2,
            epochs=15,
            batch_size=16,
            views_per_epoch=800,
        ),
        data=EdgeData(name="bsds500", size=256),
        method="soft-maps",
        references=tuple(
            Reference(arm=arm, value=value, metric="dice", split="val", source=source)
            for arm, value in (("gen_01", 0.7270), ("gen_02", 0.7226), ("gen_02_scratch", 0.7047))
        ),
    )


def demo() -> Preset:
    """Embedded collages at 128 pixels, minutes on two cores."""
    return Preset(
        summary="collages of photographs' textures at 128 pixels: U-Net ResNet34 → U-Net MobileNetV2 → slim",
        chain=paper().chain,
        recipe=Recipe(
            optimizer="adam", learning_rate=1e-3, schedule="cosine", warmup_epochs=1, epochs=5, batch_size=16
        ),
        data=EdgeData(name="collage", size=128),
        method="soft-maps",
        references=paper().references,
    )


@register("edges")
def edges() -> TaskSpec:
    """The edge detection task."""
    return TaskSpec(
        name="edges",
        summary="edge detection: U-Net ResNet34 → U-Net MobileNetV2, by Dice",
        claims=EDGE_CLAIMS,
        metric=MetricSpec(name="dice", unit="", higher_is_better=True, make=lambda _options, _data: Dice()),
        methods=edge_methods(),
        presets={"demo": demo(), "paper": paper()},
        datasets=("collage", "bsds500", "pairs"),
        load_data=load_edges,
        network_arguments=network_arguments,
        predict=predict,
        finish=torch.sigmoid,
        test_time={"flip": mirrors, "scales": scales},
        benchmark=benchmark,
        panels=Panels(picture=input_picture, truth=truth_cell, prediction=prediction_cell),
    )
