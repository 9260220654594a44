"""Super-resolution: SwinIR → AttentionSRNet → a half-width one, by feature matching and a perceptual loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from densedistill.backbones.spandrel_family import enlargement
from densedistill.datasets.bicubic import imresize
from densedistill.datasets.sr_degradation import Degradation
from densedistill.datasets.super_resolution import SuperResolutionData, load_super_resolution
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.data import TaskData
from densedistill.distill.errors import RequestError
from densedistill.distill.metrics import ImageQuality
from densedistill.distill.prediction.application import Application
from densedistill.distill.prediction.views import dihedral, mirrors
from densedistill.distill.spec import (
    Argument,
    MetricSpec,
    NetworkSpec,
    PanelCell,
    Panels,
    Preset,
    Reference,
    TaskSpec,
    filed,
)
from densedistill.tasks.pictures import as_pixels, centre
from densedistill.tasks.reference_arithmetic import SUPER_RESOLUTION_CLAIMS
from densedistill.tasks.registry import register
from densedistill.tasks.sr_methods import METHODS

PUBLISHED = "spandrel/"
SHOWN = 192
"""Side of the panels' detail, in high-resolution pixels."""
REACH = 32
"""Low-resolution pixels by which tiles of a large image reach beyond their own part. On photographs of BSDS500 PAN, a
trained SwinIR and a trained AttentionSRNet then differ from the whole image by 0.05 of 255 levels at most. IMDN and
RLFN weigh channels by the whole image: with tiles of 160 pixels they differ by 0.1 levels in the mean, which the tiles'
fading into each other spreads."""
REFERENCE_BLUR = 1.0
"""The reference blurs before it reduces but does not say how much; one pixel is our reading."""


def network_arguments(name: str, options: SuperResolutionData, _data: TaskData) -> Mapping[str, Argument]:
    """The scale; a published checkpoint brings its own.

    Raises:
        RequestError: a checkpoint of another scale than the data's.
    """
    if not name.startswith(PUBLISHED):
        return {"scale": options.scale}
    scale = enlargement(name.removeprefix(PUBLISHED))
    if scale != options.scale:
        raise RequestError(
            f"network '{name}' enlarges by {scale}, and the data asks for {options.scale}: give a checkpoint for "
            f"x{options.scale}, or --set data.scale={scale}."
        )
    return {}


def predict(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The enlarged images (B, 3, scale·h, scale·w), not clamped."""
    return network(images)


def baselines(options: SuperResolutionData) -> Mapping[str, Callable[[Tensor], Tensor]]:
    """Bicubic enlargement with MATLAB's kernel, the field's yardstick."""
    scale = options.scale
    return {"bicubic": lambda images: imresize(images, (images.shape[-2] * scale, images.shape[-1] * scale))}


def finish(images: Tensor) -> Tensor:
    """Clamped to [0, 1]; the metric rounds to 8 bits."""
    return images.clamp(0, 1)


def input_cell(entries: Mapping[str, Tensor], _data: TaskData) -> PanelCell:
    """The low-resolution pixels of the detail."""
    scale = entries["target"].shape[-1] // entries["input"].shape[-1]
    return PanelCell(image=as_pixels(centre(entries["input"], SHOWN // scale, SHOWN // scale)))


def truth_cell(entries: Mapping[str, Tensor], _data: TaskData) -> PanelCell:
    """The detail as it is."""
    return PanelCell(image=as_pixels(centre(entries["target"], SHOWN, SHOWN)))


def prediction_cell(image: Tensor, _entries: Mapping[str, Tensor], _data: TaskData) -> PanelCell:
    """The detail as a network made it."""
    return PanelCell(image=as_pixels(centre(image, SHOWN, SHOWN)))


def benchmark() -> Preset:
    """The reference's networks and recipe with the benchmarks' plain bicubic degradation."""
    return Preset(
        summary="x4 on T91 and BSDS500 train, plain bicubic, tested on Set5 and B100: SwinIR → AttentionSRNet → half",
        chain=(
            NetworkSpec(name="swinir-m"),
            NetworkSpec(name="attention-sr"),
            NetworkSpec(name="attention-sr", arguments={"width": 32}),
        ),
        recipe=Recipe(
            optimizer="adam", learning_rate=1e-3, schedule="constant", epochs=20, batch_size=8, views_per_epoch=800
        ),
        data=SuperResolutionData(name="folder", hr_patch=160),
        method="features",
    )


def study() -> Preset:
    """A published teacher, and a recipe short enough for several seeds on two cores."""
    return Preset(
        summary="x4 on T91 and BSDS500 train, 2,000 steps: IMDN → AttentionSRNet → half, L1 to the teacher's images; "
        "give the authors' IMDN by --teacher-weights",
        chain=(
            NetworkSpec(name="imdn"),
            NetworkSpec(name="attention-sr"),
            NetworkSpec(name="attention-sr", arguments={"width": 32}),
        ),
        recipe=Recipe(
            optimizer="adam",
            learning_rate=1e-3,
            schedule="cosine",
            warmup_epochs=0.5,
            clip_norm=0.5,
            epochs=10,
            batch_size=16,
            views_per_epoch=3200,
        ),
        data=SuperResolutionData(name="folder", hr_patch=96),
        method="output",
    )


def paper() -> Preset:
    """The reference's recipe, blur included."""
    plain = benchmark()
    source = "reference 003, section 5.1 (test images not stated)"
    return Preset(
        summary=f"as `benchmark`, with a Gaussian blur of sigma {REFERENCE_BLUR:g} before the reduction",
        chain=plain.chain,
        recipe=plain.recipe,
        data=SuperResolutionData(name="folder", hr_patch=160, degradation=Degradation(blur_sigma=REFERENCE_BLUR)),
        method="features",
        references=tuple(
            Reference(arm=arm, value=value, metric="psnr", split="test", source=source, note="colour space not stated")
            for arm, value in (("gen_01", 27.26), ("gen_02", 25.79), ("gen_02_scratch", 23.02))
        ),
    )


def demo() -> Preset:
    """Photographs that ship with scikit-image, small networks, minutes on two cores."""
    small = {"width": 48, "depths": [3, 3], "skip": "bicubic"}
    return Preset(
        summary="x4 on scikit-image's photographs: a small SwinIR → AttentionSRNet of width 24 → width 12",
        chain=(
            NetworkSpec(name="swinir", arguments=dict(small)),
            NetworkSpec(name="attention-sr", arguments={"width": 24}),
            NetworkSpec(name="attention-sr", arguments={"width": 12}),
        ),
        recipe=Recipe(
            optimizer="adam",
            learning_rate=2e-3,
            schedule="cosine",
            warmup_epochs=0.3,
            clip_norm=0.5,
            epochs=4,
            batch_size=8,
            views_per_epoch=1200,
        ),
        # The transformer learns no more than a linear filter in its first 400 steps.
        generation_recipes={1: {"views_per_epoch": 3200}},
        data=SuperResolutionData(name="photos", hr_patch=64),
        method="features",
        # At weight 1 the features' error is ten times the pixels', and a run of 600 steps learns nothing else.
        method_parameters={"alpha": 0.01},
        references=paper().references,
    )


@register("sr")
def super_resolution() -> TaskSpec:
    """The super-resolution task."""
    return TaskSpec(
        name="sr",
        summary="super-resolution: SwinIR → AttentionSRNet, by PSNR on Y",
        claims=SUPER_RESOLUTION_CLAIMS,
        metric=MetricSpec(
            name="psnr_y",
            unit="dB",
            higher_is_better=True,
            make=lambda options, _data: ImageQuality(options.scale),
        ),
        methods=filed(*METHODS),
        presets={"demo": demo(), "study": study(), "benchmark": benchmark(), "paper": paper()},
        datasets=("photos", "folder"),
        load_data=load_super_resolution,
        network_arguments=network_arguments,
        predict=predict,
        finish=finish,
        test_time={"self-ensemble": dihedral, "flip": mirrors},
        baselines=baselines,
        application=Application(reach=REACH),
        panels=Panels(picture=input_cell, truth=truth_cell, prediction=prediction_cell),
    )
