"""Pixel-difference convolutions as plain ones: the same 3x3 weights, read as weights of differences between pixels.

Su, Liu, Yu, Hu, Liao, Tian, Pietikäinen and Liu, "Pixel Difference Networks for Efficient Edge Detection", ICCV 2021,
arXiv:2108.07009, section 3.1 (equation 2) and figure 3: y = sum of w_i (x_i - x'_i) over pairs of pixels. A sum of
weighted differences is linear in the pixels, so each kind is a plain convolution with another kernel.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Difference = Literal["central", "angular", "radial", "plain"]
"""Which pairs of pixels are compared: each with the centre; each with its neighbour clockwise on the ring around the
centre; each of the outer ring of 5x5 with the one between it and the centre; or none."""

_CLOCKWISE_BEFORE = [3, 0, 1, 6, 4, 2, 7, 8, 5]
"""For each place of a 3x3 kernel in row order the place before it, clockwise; the centre's is itself."""
_RADIAL = [1, 0, 2, 0, 3, 0, 9, 10, 11, 0, 4, 12, 0, 13, 5, 0, 14, 15, 16, 0, 6, 0, 7, 0, 8]
"""For each place of a 5x5 kernel in row order: 0 for none, 1 to 8 for a weight, 9 to 16 for the same eight negated."""


def plain_kernel(weight: Tensor, difference: Difference) -> Tensor:
    """The kernel of the plain convolution that a pixel-difference convolution is.

    Args:
        weight: (O, I, 3, 3), one weight for each pair of pixels in row order. A central difference leaves the weight at
            the centre without a pair, an angular one too; a radial one reads the last eight of the nine.
        difference: the kind of pairs.

    Returns:
        (O, I, 3, 3), or (O, I, 5, 5) of radial differences. Differentiable.
    """
    if difference == "central":
        return weight - F.pad(weight.sum(dim=(2, 3), keepdim=True), (1, 1, 1, 1))
    if difference == "angular":
        return weight - weight.flatten(2)[:, :, _CLOCKWISE_BEFORE].view_as(weight)
    if difference == "radial":
        pairs = weight.flatten(2)[:, :, 1:]
        signed = torch.cat((torch.zeros_like(pairs[:, :, :1]), pairs, -pairs), dim=2)
        return signed[:, :, _RADIAL].reshape(*weight.shape[:2], 5, 5)
    return weight


class PixelDifference(nn.Module):
    """A pixel-difference convolution of stride 1 without bias; (B, I, H, W) to (B, O, H, W).

    It keeps the weights of the differences, as published files do, and makes the plain kernel of them in each pass, in
    the weights' own precision: in half precision the differences would lose what they are about.
    """

    def __init__(self, inputs: int, outputs: int, difference: Difference, *, groups: int = 1) -> None:
        super().__init__()
        self.difference: Difference = difference
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Convolve; see the class for shapes."""
        kernel = plain_kernel(self.weight, self.difference)
        return F.conv2d(images_BCHW, kernel, padding=kernel.shape[-1] // 2, groups=self.groups)

    def extra_repr(self) -> str:
        """The kind, for `print`."""
        return f"{self.difference}, {tuple(self.weight.shape)}, groups={self.groups}"
