"""VGG19 as a space of image features for super-resolution: the perceptual loss, and where its weights come from."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from densedistill.backbones import NetworkError, WeightsUnavailableError, vgg19_features
from densedistill.backbones.vgg import VGG19Features
from densedistill.distill.losses import Perceptual
from densedistill.distill.spec import OwnContext

REMEDY = "give VGG19's weights with --set method.vgg19=FILE"


def perceptual_term(weight: float, file: Path | None, context: OwnContext) -> Perceptual | None:
    """The perceptual loss, or None, having said so, where VGG19's weights cannot be had.

    Raises:
        NetworkError: `file` is not of VGG19, or the weights are required and cannot be had.
    """
    if not weight:
        return None
    if file is None and context.pretrained == "none":
        context.warn(f"the perceptual term is off, because --pretrained is none; {REMEDY} to have it")
        return None
    try:
        return Perceptual(vgg19_features(file or "torchvision").module)
    except WeightsUnavailableError as error:
        if context.pretrained == "required":
            raise NetworkError(
                f"VGG19 for the perceptual term is required and cannot be had: {error}; {REMEDY}."
            ) from error
        context.warn(f"the perceptual term is off: {error}; {REMEDY} to have it")
        return None


def required_vgg19(file: Path | None, context: OwnContext) -> VGG19Features:
    """VGG19 for a method that is nothing without it.

    Raises:
        NetworkError: `file` is not of VGG19, or there is none and torchvision's cannot be had.
    """
    another = "or measure in pixels with --set method.space=pixels"
    if file is None and context.pretrained == "none":
        raise NetworkError(f"the contrast is measured by VGG19, and --pretrained is none: {REMEDY}, {another}.")
    try:
        return cast(VGG19Features, vgg19_features(file or "torchvision").module)
    except WeightsUnavailableError as error:
        raise NetworkError(
            f"the contrast is measured by VGG19, which cannot be had: {error}; {REMEDY}, {another}."
        ) from error
