"""A window of the degraded image, made from that part of the source it depends on."""

from __future__ import annotations

import math

import numpy as np

from densedistill.datasets.sr_degradation import Degradation, degrade


def degrade_window(
    pixels_HWC: np.ndarray, top: int, left: int, side: int, scale: int, degradation: Degradation
) -> np.ndarray:
    """`degrade(pixels_HWC, scale, degradation)[top : top + side, left : left + side]`, to the last bit.

    A window with a margin is degraded. The margin is a whole number of result pixels, so every kernel lies at the same
    place between its source pixels and has the same weights; it ends at the image's own border, where the operators
    repeat the edge as they do in the whole image.

    Shape:
        pixels_HWC: (H, W, C) uint8; the window lies inside (H // scale, W // scale).
        returns: (side, side, C) uint8.
    """
    # Bicubic weights reach 2 result pixels beyond the window; SciPy cuts its Gaussian off at 4 standard deviations.
    margin = 2 + math.ceil(int(4.0 * degradation.blur_sigma + 0.5) / scale)
    first_row, first_column = max(0, top - margin), max(0, left - margin)
    last_row = min(pixels_HWC.shape[0] // scale, top + side + margin)
    last_column = min(pixels_HWC.shape[1] // scale, left + side + margin)
    source = pixels_HWC[first_row * scale : last_row * scale, first_column * scale : last_column * scale]
    row, column = top - first_row, left - first_column
    return degrade(source, scale, degradation)[row : row + side, column : column + side]
