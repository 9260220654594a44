"""Super-resolution pairs on disk: high-resolution images, and inputs that are published or made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from densedistill.datasets.base import DataError
from densedistill.datasets.dense import Size, window
from densedistill.datasets.dense_degradation import degrade_window
from densedistill.datasets.dense_pairs import Planes
from densedistill.datasets.pixels import image_size, read_rgb, to_planes
from densedistill.datasets.sr_degradation import Degradation, degrade
from densedistill.datasets.sr_sources import HrImage

_COMMON_MULTIPLE = 12
"""Sets that serve x2, x3 and x4 alike are cropped to multiples of it: a published input may leave out that much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperResolutionFiles:
    """Pairs of a degraded image and its source, by place."""

    images: Sequence[HrImage]
    sizes: Sequence[Size]
    """Of the inputs."""
    scale: int
    degradation: Degradation

    @property
    def held_bytes(self) -> int:
        """Three channels a pixel; `scale` x `scale` pixels of the target for one of the input."""
        return sum(3 * height * width * (1 + self.scale**2) for height, width in self.sizes)

    @property
    def cropped(self) -> int:
        """How many targets are less than their source: its last rows or columns make no whole pixel of the input."""
        pairs = zip(self.images, self.sizes, strict=True)
        return sum(high_size(image) != (height * self.scale, width * self.scale) for image, (height, width) in pairs)

    def read(self, place: int) -> Planes:
        """Input (3, h, w) and target (3, scale x h, scale x w); DataError names a file that cannot be read."""
        image = self.images[place]
        pixels = _read_high(image)
        if image.low is None:
            return degraded_pair(pixels, self.scale, self.degradation)
        low = read_rgb(image.low)
        return to_planes(low), to_planes(pixels[: low.shape[0] * self.scale, : low.shape[1] * self.scale])

    def read_window(self, place: int, top: int, left: int, side: int) -> Planes:
        """The same pixels as in `read`; only what the window depends on is degraded."""
        image = self.images[place]
        if image.low is None:
            pixels = _read_high(image)
            low = to_planes(degrade_window(pixels, top, left, side, self.scale, self.degradation))
            high = to_planes(pixels)
        else:
            whole, high = self.read(place)
            low = window(whole, top, left, side)
        return low, window(high, top * self.scale, left * self.scale, side * self.scale)


def super_resolution_files(images: Sequence[HrImage], scale: int, degradation: Degradation) -> SuperResolutionFiles:
    """`images` as pairs, checked by their headers; none is decoded.

    Raises:
        DataError: a file is no image, is smaller than the scale, or is no pair with its published input.
    """
    return SuperResolutionFiles(
        images=tuple(images),
        sizes=tuple(_low_size(image, scale) for image in images),
        scale=scale,
        degradation=degradation,
    )


def degraded_pair(pixels: np.ndarray, scale: int, degradation: Degradation) -> Planes:
    """The input (3, H // scale, W // scale) made of `pixels` (H, W, 3), and its target, `pixels` cropped to fit."""
    low = degrade(pixels, scale, degradation)
    return to_planes(low), to_planes(pixels[: low.shape[0] * scale, : low.shape[1] * scale])


def high_size(image: HrImage) -> Size:
    """(height, width) of a high-resolution image, from its file's header; DataError where it is no image."""
    height, width = image_size(image.path)
    return (height, width) if image.crop is None else (min(height, image.crop[0]), min(width, image.crop[1]))


def _low_size(image: HrImage, scale: int) -> Size:
    height, width = high_size(image)
    if min(height, width) < scale:
        raise DataError(f"{image.path} is smaller than the scale {scale}: remove it")
    if image.low is None:
        return height // scale, width // scale
    low_height, low_width = image_size(image.low)
    fit_height, fit_width = low_height * scale, low_width * scale
    beyond = height - fit_height, width - fit_width
    if min(beyond) < 0 or max(beyond) >= max(scale, _COMMON_MULTIPLE):
        raise DataError(
            f"{image.low} of {low_width}x{low_height} times {scale} is {fit_width}x{fit_height} pixels, "
            f"and {image.path} has {width}x{height}: they are not a pair of this scale"
        )
    return low_height, low_width


def _read_high(image: HrImage) -> np.ndarray:
    pixels = read_rgb(image.path)
    return pixels if image.crop is None else pixels[: image.crop[0], : image.crop[1]]
