"""Super-resolution: SwinIR → AttentionSRNet → a half-width one, by feature matching and a perceptual loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, Field
from torch import Tensor

from densedistill.backbones import NetworkError, WeightsUnavailableError, vgg19_features
from densedistill.datasets.bicubic import imresize
from densedistill.datasets.sr_degradation import Degradation
from densedistill.datasets.super_resolution import SuperResolutionData, load_super_resolution
from densedistill.distill.data import TaskData
from densedistill.distill.errors import RequestError
from densedistill.distill.losses import FeatureMatching, Perceptual, Reconstruction
from densedistill.distill.metrics import ImageQuality
from densedistill.distill.objective import LossTerm
from densedistill.distill.recipe import FROZEN, Recipe
from densedistill.distill.spec import (
    Argument,
    Method,
    MetricSpec,
    Needs,
    NetworkSpec,
    PanelCell,
    Panels,
    Preset,
    Reference,
    TaskSpec,
    TermContext,
)
from densedistill.distill.test_time import dihedral, mirrors
from densedistill.tasks.pictures import as_pixels, centre
from densedistill.tasks.registry import register

TAPS = {"swinir": ("conv_after_body",), "attention-sr": ("body_end",)}
"""The last features at low resolution, by the start of a network's name."""
SHOWN = 192
"""Side of the panels' detail, in high-resolution pixels."""
REFERENCE_BLUR = 1.0
"""The reference blurs before it reduces but does not say how much; one pixel is our reading."""


class FeatureDistillation(BaseModel):
    """Parameters of `features`: L1 + α·feature matching + perceptual."""

    model_config = FROZEN

    alpha: float = Field(default=1.0, ge=0)
    """Weight of the teacher's term, the feature matching; a plain weight here, since the reference adds its terms."""
    l1_weight: float = Field(default=1.0, ge=0)
    perceptual_weight: float = Field(default=1.0, ge=0)
    vgg19: Path | None = None
    """VGG19's weights for the perceptual term: Keras's `.npz` or torchvision's `.pth`. None: torchvision's own, where
    `--pretrained` allows and they can be had; the term is off otherwise, and the result says so."""


def feature_terms(parameters: FeatureDistillation, context: TermContext) -> Sequence[LossTerm]:
    """Terms `l1` and, as far as they can be had, `features` and `perceptual`."""
    terms = [LossTerm(name="l1", fn=Reconstruction(), weight=parameters.l1_weight)]
    perceptual = perceptual_term(parameters, context)
    if perceptual is not None:
        terms.append(LossTerm(name="perceptual", fn=perceptual, weight=parameters.perceptual_weight))
    if context.has_teacher and parameters.alpha:
        terms.append(LossTerm(name="features", fn=matching(context), weight=parameters.alpha, needs_teacher=True))
    return terms


def matching(context: TermContext) -> FeatureMatching:
    """Feature matching of the tapped maps, pair by pair.

    Raises:
        RequestError: the two networks tap unlike numbers of features, or none.
    """
    mine, theirs = context.student_taps, context.teacher_taps
    if not mine or len(mine) != len(theirs):
        raise RequestError(
            f"feature matching needs as many taps of the student ({len(mine)}) as of the teacher ({len(theirs)}), one "
            "at least: name module paths with --set networks.0.taps=[...] and --set networks.1.taps=[...], or turn the "
            "term off with --set method.alpha=0."
        )
    return FeatureMatching(
        list(zip(mine, theirs, strict=True)),
        [channels(shape) for shape in mine.values()],
        [channels(shape) for shape in theirs.values()],
        seed=context.seed,
    )


def channels(shape: Sequence[int]) -> int:
    """Channels of a map (B, C, H, W) or of tokens (B, L, C)."""
    return shape[1] if len(shape) == 4 else shape[-1]


def perceptual_term(parameters: FeatureDistillation, context: TermContext) -> Perceptual | None:
    """The perceptual loss, or None, having said so, where VGG19's weights cannot be had."""
    if not parameters.perceptual_weight:
        return None
    if parameters.vgg19 is not None:
        return Perceptual(vgg19_features(parameters.vgg19).module)
    remedy = "give VGG19's weights with --set method.vgg19=FILE"
    if context.pretrained == "none":
        context.warn(f"the perceptual term is off, because --pretrained is none; {remedy} to have it")
        return None
    try:
        return Perceptual(vgg19_features("torchvision").module)
    except WeightsUnavailableError as error:
        if context.pretrained == "required":
            raise NetworkError(
                f"VGG19 for the perceptual term is required and cannot be had: {error}; {remedy}."
            ) from error
        context.warn(f"the perceptual term is off: {error}; {remedy} to have it")
        return None


def network_arguments(name: str, options: SuperResolutionData, _data: TaskData) -> Mapping[str, Argument]:
    """The scale; a published checkpoint brings its own."""
    return {} if name.startswith("spandrel/") else {"scale": options.scale}


def taps(name: str) -> tuple[str, ...]:
    """The features that this task's own networks are matched at; other networks need `taps` in the configuration."""
    return next((paths for start, paths in TAPS.items() if name.startswith(start)), ())


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
            NetworkSpec(name="swinir-m", taps=taps("swinir-m")),
            NetworkSpec(name="attention-sr", taps=taps("attention-sr")),
            NetworkSpec(name="attention-sr", arguments={"width": 32}, taps=taps("attention-sr")),
        ),
        recipe=Recipe(
            optimizer="adam", learning_rate=1e-3, schedule="constant", epochs=20, batch_size=8, views_per_epoch=800
        ),
        data=SuperResolutionData(name="folder", hr_patch=160),
        method="features",
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
            NetworkSpec(name="swinir", arguments=dict(small), taps=taps("swinir")),
            NetworkSpec(name="attention-sr", arguments={"width": 24}, taps=taps("attention-sr")),
            NetworkSpec(name="attention-sr", arguments={"width": 12}, taps=taps("attention-sr")),
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
        metric=MetricSpec(
            name="psnr_y",
            unit="dB",
            higher_is_better=True,
            make=lambda options, _data: ImageQuality(options.scale),
        ),
        methods={
            "features": Method(
                name="features",
                summary="L1 + α·feature matching through trainable 1x1 projectors + VGG19 perceptual loss",
                paper="reference 003, equations 5 to 7; FitNets (Romero et al. 2015, eq. 3)",
                parameters=FeatureDistillation(),
                terms=feature_terms,
                needs=Needs(taps=True, trains="projector"),
            )
        },
        presets={"demo": demo(), "benchmark": benchmark(), "paper": paper()},
        datasets=("photos", "folder"),
        load_data=load_super_resolution,
        network_arguments=network_arguments,
        taps=taps,
        predict=predict,
        finish=finish,
        test_time={"self-ensemble": dihedral, "flip": mirrors},
        baselines=baselines,
        panels=Panels(picture=input_cell, truth=truth_cell, prediction=prediction_cell),
    )
