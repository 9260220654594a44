"""Augmentation of whole batches on the device, with parameters that belong to each view and not to its batch.

Every random number comes from `views.uniform`, so a view has the same pixels whatever its neighbours are. Sizes: B
images, C = 3 channels, H x W pixels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor
from torch.nn.functional import pad

from densedistill.datasets.base import ViewPlan
from densedistill.datasets.erasing import RandomErasing
from densedistill.datasets.frozen import FROZEN
from densedistill.datasets.mixing import Mixing
from densedistill.datasets.policies import RandAugment, auto_augment_steps, rand_augment_steps
from densedistill.datasets.views import uniform

_LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601 weights of red, green and blue."""


class ColorJitter(BaseModel):
    """Strengths of colour jitter; 0 leaves a property alone.

    Each factor is uniform in [1 - strength, 1 + strength]; the shift of hue is uniform in [-hue, hue] turns. They are
    applied in the order of the fields.
    """

    model_config = FROZEN

    brightness: float = Field(default=0.2, ge=0, le=1)
    contrast: float = Field(default=0.2, ge=0, le=1)
    saturation: float = Field(default=0.2, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)


class ClassificationAugmentation(BaseModel):
    """What happens to a training image, and to a batch of them, in the order of the fields."""

    model_config = FROZEN

    crop_padding: int = Field(default=4, ge=0)
    """Zeros put on each side, in pixels, before a random crop of the original size; 0 turns cropping off."""
    flip: bool = True
    """Mirror left to right with probability 1/2."""
    auto_augment: Literal["cifar10"] | None = None
    """AutoAugment's policy of this name, as torchvision has it."""
    rand_augment: RandAugment | None = None
    color_jitter: ColorJitter | None = None
    random_erasing: RandomErasing | None = None
    mixup: Mixing | None = None
    cutmix: Mixing | None = None
    """With both Mixup and CutMix, one of them is drawn for each batch, with probability 1/2 each; for each view where
    views are named."""
    mix_probability: float = Field(default=1.0, ge=0, le=1)
    """Share of batches (of views, where views are named) that are mixed at all, where Mixup or CutMix is on."""

    @model_validator(mode="after")
    def _one_policy(self) -> ClassificationAugmentation:
        if self.auto_augment is not None and self.rand_augment is not None:
            raise ValueError("auto_augment and rand_augment each choose a view's operations: leave one of them out")
        return self


def augment(images: Tensor, plan: ViewPlan, options: ClassificationAugmentation, *, seed: int) -> Tensor:
    """Random crop, flip, policy and colour jitter; erasing and mixing follow once the batch is normalised.

    Shape:
        images (B, 3, H, W) uint8 -> (B, 3, H, W) float32 in [0, 1], on the same device.
    """
    if options.crop_padding:
        images = random_crop(images, _draws(images, plan, seed, "crop", 2), options.crop_padding)
    if options.flip:
        mirrored = _draws(images, plan, seed, "flip", 1) < 0.5
        images = torch.where(mirrored[:, :, None, None], images.flip(-1), images)
    height, width = images.shape[-2:]
    if options.auto_augment is not None:
        for step in auto_augment_steps(plan, height, width, seed=seed):
            images = step.apply(images)
    if options.rand_augment is not None:
        for step in rand_augment_steps(plan, height, width, options.rand_augment, seed=seed):
            images = step.apply(images)
    scaled = images.float() / 255
    if options.color_jitter is None:
        return scaled
    return jitter_colors(scaled, _draws(images, plan, seed, "color", 4), options.color_jitter)


def random_crop(images: Tensor, draws: Tensor, padding: int) -> Tensor:
    """Pad with zeros on every side and crop back to the original size at each image's own offset.

    Args:
        images: (B, C, H, W).
        draws: (B, 2) in [0, 1]; vertical and horizontal offset as a share of the 2 * padding + 1 places.
        padding: pixels on each side.
    """
    height, width = images.shape[-2:]
    # float32 rounds the largest draws up to 1, which would be one place too far.
    offsets = (draws * (2 * padding + 1)).long().clamp(max=2 * padding)
    windows = pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    batch = torch.arange(images.shape[0], device=images.device)
    return windows[batch, :, offsets[:, 0], offsets[:, 1]]


def jitter_colors(images: Tensor, draws: Tensor, strengths: ColorJitter) -> Tensor:
    """Brightness, contrast, saturation and hue, as torchvision defines them, with a factor for each image.

    Args:
        images: (B, 3, H, W) in [0, 1].
        draws: (B, 4) in [0, 1].
        strengths: how far each factor may be from 1 (hue: the shift from 0).
    """
    spread = (2 * draws - 1).to(images.dtype).view(-1, 4, 1, 1, 1)
    brightness, contrast, saturation, hue = spread.unbind(1)
    if strengths.brightness:
        images = (images * (1 + strengths.brightness * brightness)).clamp(0, 1)
    if strengths.contrast:
        mean = _mean_gray(images)
        images = (mean + (images - mean) * (1 + strengths.contrast * contrast)).clamp(0, 1)
    if strengths.saturation:
        gray = _gray(images)
        images = (gray + (images - gray) * (1 + strengths.saturation * saturation)).clamp(0, 1)
    if strengths.hue:
        images = shift_hue(images, strengths.hue * hue)
    return images


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of the HSV hexcone (Smith, 1978), keeping value and saturation.

    Args:
        images: (B, 3, H, W) in [0, 1].
        turns: broadcastable to (B, 1, 1, 1); 1 is a full turn.
    """
    red, green, blue = torch.tensor_split(images, 3, dim=1)
    peak = images.amax(dim=1, keepdim=True)
    span = peak - images.amin(dim=1, keepdim=True)
    divisor = torch.where(span > 0, span, 1)
    hue = torch.where(
        peak == red,
        (green - blue) / divisor,
        torch.where(peak == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    phase = torch.tensor([5.0, 3.0, 1.0], device=images.device).view(1, 3, 1, 1)
    wheel = (phase + hue + 6 * turns) % 6
    return peak - span * torch.minimum(wheel, 4 - wheel).clamp(0, 1)


def _gray(images: Tensor) -> Tensor:
    red, green, blue = torch.tensor_split(images, 3, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _mean_gray(images: Tensor) -> Tensor:
    """(B, 1, 1, 1) mean of the gray image, to 16 bits a pixel.

    Summed as integers, because the order of a floating-point sum, and with it the result, depends on the batch.
    """
    levels = (_gray(images) * 65535).round().long()
    pixels = images.shape[-2] * images.shape[-1]
    return (levels.sum(dim=(1, 2, 3), keepdim=True) / (65535 * pixels)).to(images.dtype)


def _draws(images: Tensor, plan: ViewPlan, seed: int, stream: str, count: int) -> Tensor:
    """(B, count) float32 in [0, 1] on the images' device."""
    numbers = uniform(seed, plan.images, plan.views, stream, count).astype(np.float32)
    return torch.from_numpy(numbers).to(images.device)
