"""How a high-resolution image becomes the network's input: the same operator in training and in test."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from densedistill.datasets.bicubic import imresize_8bit, round_8bit
from densedistill.datasets.frozen import FROZEN


class Degradation(BaseModel):
    """Gaussian blur, then bicubic reduction."""

    model_config = FROZEN

    blur_sigma: float = Field(default=0.0, ge=0.0)
    """Standard deviation of the blur in pixels of the high-resolution image; 0 is plain bicubic, the benchmarks'."""

    def describe(self, scale: int) -> str:
        """One phrase for tables and notes."""
        bicubic = f"bicubic x{scale} (MATLAB's kernel, 8 bits)"
        return f"Gaussian blur of sigma {self.blur_sigma:g}, then {bicubic}" if self.blur_sigma else bicubic


def degrade(pixels_HWC: np.ndarray, scale: int, degradation: Degradation) -> np.ndarray:
    """The low-resolution image of a whole high-resolution one.

    The source is cropped top-left to multiples of `scale`, as the benchmarks do; the blurred image is rounded to
    8 bits before it is reduced.

    Shape:
        pixels_HWC: (H, W, C) uint8, H and W at least `scale`.
        returns: (H // scale, W // scale, C) uint8.
    """
    height, width = pixels_HWC.shape[0] // scale, pixels_HWC.shape[1] // scale
    source = pixels_HWC[: height * scale, : width * scale]
    if degradation.blur_sigma:
        from scipy.ndimage import gaussian_filter

        sigma = degradation.blur_sigma
        blurred = gaussian_filter(source.astype(np.float64), (sigma, sigma, 0.0), mode="nearest")
        source = round_8bit(blurred)
    return imresize_8bit(source, (height, width))
