"""Bicubic resizing as MATLAB's `imresize` does it, which is how the super-resolution benchmarks were made.

The kernel is Keys' cubic convolution with a = -0.5 (Keys, "Cubic convolution interpolation for digital image
processing", 1981, eq. 4), widened by the reduction factor when shrinking, so that the result is free of
aliasing. Rows are resized first, then columns; both steps are products with small matrices.

Shape suffixes: H, W of the source; h, w of the result; C channels.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Border = Literal["replicate", "symmetric"]
"""What lies beyond the edge. Releases of MATLAB differ: the LR files of Set5 and B100 come from one that repeats the
edge pixel (`replicate` reproduces them exactly), later ones mirror the image (`symmetric`)."""


def cubic_kernel(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5 at `distance` (pixels): 1 at 0, 0 at every other integer and from 2 on."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


@lru_cache(maxsize=32)
def resize_matrix(source: int, result: int, border: Border = "replicate") -> np.ndarray:
    """(result, source) float64, read-only: each row holds the weights of one result pixel and sums to 1.

    Raises:
        ValueError: a length is below 1.
    """
    places, weights = _weights(source, result, border)
    matrix = np.zeros((result, source))
    np.add.at(matrix, (np.arange(result)[:, None], places), weights)
    matrix.setflags(write=False)
    return matrix


def _weights(source: int, result: int, border: Border) -> tuple[np.ndarray, np.ndarray]:
    """Source places and weights, both (result, taps); beyond an edge a place occurs more than once."""
    if source < 1 or result < 1:
        raise ValueError(f"lengths must be at least 1, got source {source} and result {result}")
    scale = result / source
    shrink = min(scale, 1.0)
    width = 4.0 / shrink
    centres = (np.arange(result) + 0.5) / scale - 0.5
    first = np.floor(centres - width / 2.0)
    places = (first[:, None] + np.arange(math.ceil(width) + 2)[None, :]).astype(np.int64)
    weights = cubic_kernel(shrink * (centres[:, None] - places))
    return _inside(places, source, border), weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=256)
def _sparse_matrix(source: int, result: int, border: Border) -> csr_array:
    from scipy.sparse import csr_array

    places, weights = _weights(source, result, border)
    starts = np.arange(result + 1) * places.shape[1]
    matrix = csr_array((weights.ravel(), places.ravel(), starts), shape=(result, source))
    matrix.sum_duplicates()
    return matrix


def _inside(places: np.ndarray, length: int, border: Border) -> np.ndarray:
    if border == "replicate":
        inside: np.ndarray = places.clip(0, length - 1)
        return inside
    folded = np.mod(places, 2 * length)
    mirrored: np.ndarray = np.minimum(folded, 2 * length - 1 - folded)
    return mirrored


def imresize(images: Tensor, size: tuple[int, int], border: Border = "replicate") -> Tensor:
    """Resize without rounding or clamping: the result can leave the range of the source by a few percent.

    Shape:
        images: (..., H, W), floating point, any range.
        returns: (..., h, w) with (h, w) = `size`; same dtype and device.
    """
    height, width = size
    rows_hH = _matrix_like(images, images.shape[-2], height, border)
    columns_wW = _matrix_like(images, images.shape[-1], width, border)
    return rows_hH @ images @ columns_wW.T


def _matrix_like(images: Tensor, source: int, result: int, border: Border) -> Tensor:
    matrix = resize_matrix(source, result, border)
    return torch.tensor(matrix, dtype=images.dtype, device=images.device)


def imresize_8bit(pixels_HWC: np.ndarray, size: tuple[int, int], border: Border = "replicate") -> np.ndarray:
    """Resize an 8-bit image as MATLAB does: rounded and clamped after the rows and again after the columns.

    Shape:
        pixels_HWC: (H, W, C) uint8.
        returns: (h, w, C) uint8 with (h, w) = `size`.
    """
    tall_hWC = _resize_first_axis(pixels_HWC, size[0], border)
    return _resize_first_axis(tall_hWC.swapaxes(0, 1), size[1], border).swapaxes(0, 1)


def _resize_first_axis(pixels: np.ndarray, result: int, border: Border) -> np.ndarray:
    # Sparse: a photograph of 2000 pixels has 16 weights in a row of 2000.
    matrix = _sparse_matrix(pixels.shape[0], result, border)
    resized = matrix @ pixels.reshape(pixels.shape[0], -1).astype(np.float64)
    return round_8bit(resized).reshape(result, *pixels.shape[1:])


def round_8bit(values: np.ndarray) -> np.ndarray:
    """`values` (0 to 255 and a little beyond) to uint8, halves upwards as MATLAB rounds them."""
    return np.clip(np.floor(values + 0.5), 0.0, 255.0).astype(np.uint8)
