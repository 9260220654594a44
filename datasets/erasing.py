"""Random erasing of a rectangle that belongs to each view (Zhong et al., "Random Erasing Data Augmentation", 2020)."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from densedistill.datasets.base import ViewPlan
from densedistill.datasets.frozen import FROZEN
from densedistill.datasets.views import uniform

_ATTEMPTS = 10
"""Rectangles drawn until one fits the image, as in torchvision; where none does, nothing is erased."""


class RandomErasing(BaseModel):
    """A rectangle of zeros in the normalised image, which is the mean colour."""

    model_config = FROZEN

    probability: float = Field(default=0.25, ge=0, le=1)
    """Share of views that lose a rectangle."""
    scale: tuple[float, float] = (0.02, 0.2)
    """Least and largest area, as shares of the image's."""
    ratio: tuple[float, float] = (0.3, 3.3)
    """Least and largest height, in widths."""

    @model_validator(mode="after")
    def _ordered(self) -> RandomErasing:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale {self.scale} must be two shares of the image's area, the smaller one first")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio {self.ratio} must be two numbers above 0, the smaller one first")
        return self


def erase(inputs: Tensor, plan: ViewPlan, options: RandomErasing, *, seed: int) -> Tensor:
    """Zero a rectangle of some views.

    Args:
        inputs: (B, C, H, W) float, normalised.
        plan: B images and their views.
        options: how often, and how large.
        seed: names the run's random numbers.
    """
    height, width = inputs.shape[-2:]
    boxes = torch.from_numpy(erased_boxes(plan, height, width, options, seed=seed)).to(inputs.device)
    top, bottom, left, right = boxes.view(-1, 4, 1, 1).unbind(1)
    down = torch.arange(height, device=inputs.device).view(1, -1, 1)
    across = torch.arange(width, device=inputs.device).view(1, 1, -1)
    inside = (down >= top) & (down < bottom) & (across >= left) & (across < right)
    return inputs.masked_fill(inside[:, None], 0.0)


def erased_boxes(plan: ViewPlan, height: int, width: int, options: RandomErasing, *, seed: int) -> np.ndarray:
    """(B, 4) int64: top, bottom, left and right of each view's rectangle; empty where nothing is erased.

    Area and logarithm of the ratio are drawn evenly, and so is the place among those where the rectangle fits. It is
    lower and narrower than the image.
    """
    draws = uniform(seed, plan.images, plan.views, "erasing", 3 + 2 * _ATTEMPTS)
    least, most = options.scale
    area = height * width * (least + (most - least) * draws[:, 3::2])
    low, high = np.log(options.ratio)
    ratio = np.exp(low + (high - low) * draws[:, 4::2])
    heights, widths = np.round(np.sqrt(area * ratio)), np.round(np.sqrt(area / ratio))
    fits = (heights < height) & (widths < width)
    rows, first = np.arange(len(draws)), fits.argmax(axis=1)
    erased = fits.any(axis=1) & (draws[:, 0] < options.probability)
    box_height, box_width = (np.where(erased, sides[rows, first], 0).astype(np.int64) for sides in (heights, widths))
    top = (draws[:, 1] * (height - box_height + 1)).astype(np.int64)
    left = (draws[:, 2] * (width - box_width + 1)).astype(np.int64)
    return np.stack([top, top + box_height, left, left + box_width], axis=1)
