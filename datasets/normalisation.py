"""Mean and deviation of pixels: measured, and taken out of a network's input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """Mean and standard deviation per channel, of pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the network's input."""
        mean = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        return (images - mean) / std


def measure(pixels: Tensor) -> Normalisation:
    """Mean and standard deviation per channel over all of (N, 3, H, W) uint8, rounded to four decimals."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in pixels.unbind(1):
        # A histogram is exact and needs no float copy of the set.
        shares = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        center = (shares * levels).sum()
        mean.append(round(center.item(), 4))
        std.append(round((shares * (levels - center).square()).sum().sqrt().item(), 4))
    return Normalisation(mean=tuple(mean), std=tuple(std))
