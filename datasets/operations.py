"""The operations of AutoAugment and RandAugment on batches, with a magnitude for each image.

Each does to uint8 pixels what Pillow does, which the policies were found with and torchvision's transforms repeat;
colours are computed with whole numbers where Pillow does so. No sum of floats runs over an image and no product is
fused into a sum: what happens to an image cannot depend on its place in a batch.

Shapes: images (N, 3, H, W) uint8 -> the same; magnitudes (N,) float32 on the images' device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_MAX_SHEAR = 0.3
_MAX_SHIFT = 150 / 331
"""Of the image's side: the policies were found at 331 pixels."""
_MAX_DEGREES = 30.0
_MAX_FACTOR = 0.9


def shear_x(images: Tensor, slope: Tensor) -> Tensor:
    """Pixel (x, y) shows what lies at (x + slope * y, y), from the top left corner; nearest pixel, zeros outside."""
    return _affine(images, _matrices(slope, across=(1.0, slope, 0.0), down=(0.0, 1.0, 0.0)))


def shear_y(images: Tensor, slope: Tensor) -> Tensor:
    """Pixel (x, y) shows what lies at (x, y + slope * x), from the top left corner; nearest pixel, zeros outside."""
    return _affine(images, _matrices(slope, across=(1.0, 0.0, 0.0), down=(slope, 1.0, 0.0)))


def translate_x(images: Tensor, pixels: Tensor) -> Tensor:
    """Shift to the right by whole pixels, a fraction being dropped; zeros come in."""
    return _affine(images, _matrices(pixels, across=(1.0, 0.0, -pixels.trunc()), down=(0.0, 1.0, 0.0)))


def translate_y(images: Tensor, pixels: Tensor) -> Tensor:
    """Shift downwards by whole pixels, a fraction being dropped; zeros come in."""
    return _affine(images, _matrices(pixels, across=(1.0, 0.0, 0.0), down=(0.0, 1.0, -pixels.trunc())))


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn counter-clockwise about the centre; nearest pixel, zeros outside."""
    height, width = images.shape[-2:]
    cosine, sine = torch.cos(degrees * (math.pi / 180)), torch.sin(degrees * (math.pi / 180))
    x, y = width / 2, height / 2
    across = (cosine, -sine, x - cosine * x + sine * y)
    down = (sine, cosine, y - sine * x - cosine * y)
    return _affine(images, _matrices(degrees, across=across, down=down))


def brightness(images: Tensor, change: Tensor) -> Tensor:
    """Away from black by the factor 1 + change."""
    return _blend(images, torch.zeros_like(images), change)


def color(images: Tensor, change: Tensor) -> Tensor:
    """Away from the image's own gray by the factor 1 + change."""
    return _blend(images, _gray(images), change)


def contrast(images: Tensor, change: Tensor) -> Tensor:
    """Away from the image's mean gray by the factor 1 + change."""
    pixels = images.shape[-2] * images.shape[-1]
    total = _gray(images).long().sum(dim=(1, 2, 3), keepdim=True)
    return _blend(images, (2 * total + pixels).div(2 * pixels, rounding_mode="floor"), change)


def sharpness(images: Tensor, change: Tensor) -> Tensor:
    """Away from the image smoothed by (1 1 1; 1 5 1; 1 1 1) / 13 by the factor 1 + change; the border stays."""
    wide = images.int()
    rows = wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * wide[:, :, 1:-1, 1:-1]
    smooth = wide.clone()
    smooth[:, :, 1:-1, 1:-1] = (2 * total + 13).div(26, rounding_mode="floor")
    return _blend(images, smooth, change)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest `bits` of each level."""
    mask = 256 - torch.exp2(8 - bits).int()
    return (images.int() & mask.view(-1, 1, 1, 1)).to(torch.uint8)


def solarize(images: Tensor, share: Tensor) -> Tensor:
    """Invert the levels from `share` of 255 on."""
    return torch.where(images >= (255 * share).view(-1, 1, 1, 1), 255 - images, images)


def autocontrast(images: Tensor, _magnitude: Tensor) -> Tensor:
    """Stretch each channel over all levels."""
    from torchvision.transforms.v2.functional import autocontrast as stretch

    stretched: Tensor = stretch(images)
    return stretched


def equalize(images: Tensor, _magnitude: Tensor) -> Tensor:
    """Spread each channel's levels evenly."""
    from torchvision.transforms.v2.functional import equalize as spread_out

    spread: Tensor = spread_out(images)
    return spread


def invert(images: Tensor, _magnitude: Tensor) -> Tensor:
    """255 less each level."""
    return 255 - images


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation and how strong it may be."""

    apply: Callable[[Tensor, Tensor], Tensor]
    """(images, magnitudes) -> images."""
    levels: Callable[[int, int, int], np.ndarray]
    """(number of levels, height, width) -> the magnitude of each level, float64."""
    signed: bool = False
    """Whether the magnitude is negated half of the time."""


def _up_to(most: float) -> Callable[[int, int, int], np.ndarray]:
    return lambda count, _height, _width: np.linspace(0.0, most, count)


def _none(count: int, _height: int, _width: int) -> np.ndarray:
    return np.zeros(count)


OPERATIONS: Mapping[str, Operation] = {
    "Identity": Operation(lambda images, _magnitude: images, _none),
    "ShearX": Operation(shear_x, _up_to(_MAX_SHEAR), signed=True),
    "ShearY": Operation(shear_y, _up_to(_MAX_SHEAR), signed=True),
    "TranslateX": Operation(
        translate_x, lambda count, _height, width: np.linspace(0.0, _MAX_SHIFT * width, count), signed=True
    ),
    "TranslateY": Operation(
        translate_y, lambda count, height, _width: np.linspace(0.0, _MAX_SHIFT * height, count), signed=True
    ),
    "Rotate": Operation(rotate, _up_to(_MAX_DEGREES), signed=True),
    "Brightness": Operation(brightness, _up_to(_MAX_FACTOR), signed=True),
    "Color": Operation(color, _up_to(_MAX_FACTOR), signed=True),
    "Contrast": Operation(contrast, _up_to(_MAX_FACTOR), signed=True),
    "Sharpness": Operation(sharpness, _up_to(_MAX_FACTOR), signed=True),
    "Posterize": Operation(posterize, lambda count, _height, _width: np.round(8 - np.linspace(0.0, 4.0, count))),
    "Solarize": Operation(solarize, lambda count, _height, _width: np.linspace(1.0, 0.0, count)),
    "AutoContrast": Operation(autocontrast, _none),
    "Equalize": Operation(equalize, _none),
    "Invert": Operation(invert, _none),
}
"""By torchvision's names, with its ranges of magnitudes."""


def _gray(images: Tensor) -> Tensor:
    """(N, 1, H, W) int32: ITU-R BT.601 luma to 16 bits, rounded, as Pillow has it."""
    red, green, blue = torch.tensor_split(images.int(), 3, dim=1)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def _blend(images: Tensor, base: Tensor, change: Tensor) -> Tensor:
    """base + (1 + change) (images - base), clamped, with fractions dropped: Pillow's `Image.blend`."""
    difference = (images.int() - base).float() * (1 + change).view(-1, 1, 1, 1)
    return (base + difference).clamp(0, 255).to(torch.uint8)


def _matrices(
    like: Tensor, *, across: tuple[Tensor | float, ...], down: tuple[Tensor | float, ...]
) -> tuple[list[Tensor], list[Tensor]]:
    """The coefficients of x, y and 1 in the source's x and y, each (N, 1, 1)."""
    first, second = (
        [(torch.full_like(like, part) if isinstance(part, float) else part).view(-1, 1, 1) for part in row]
        for row in (across, down)
    )
    return first, second


def _affine(images: Tensor, matrices: tuple[list[Tensor], list[Tensor]]) -> Tensor:
    """Each pixel from the pixel that holds its centre's source; coordinates count from the top left corner."""
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device).view(1, 1, -1) + 0.5
    y = torch.arange(height, device=images.device).view(1, -1, 1) + 0.5
    column, row = ((by_x * x + by_y * y + shift).floor().long() for by_x, by_y, shift in matrices)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    places = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    moved = images.flatten(2).gather(2, places.flatten(1)[:, None].expand(-1, images.shape[1], -1)).view_as(images)
    return moved.where(inside[:, None], 0)
