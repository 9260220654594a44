"""From encoded images to pixels: decode, fit to a square, and do so for a whole set in parallel threads."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from densedistill.datasets.base import DataError
from densedistill.datasets.pixels import UNREADABLE, rgb

_CHUNK = 256


def read_bytes(path: Path) -> bytes:
    """The file's bytes; DataError names a file that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check that the file is there and readable") from error


def decode(blob: bytes, name: str) -> Tensor:
    """Decode any format that Pillow reads into (3, H, W) uint8 RGB, turned upright where EXIF says so.

    Grayscale, 16 bits and transparency follow the rule of `pixels`.

    Raises:
        DataError: `blob` is truncated or no image; `name` says which.
    """
    try:
        with Image.open(io.BytesIO(blob)) as image:
            upright = ImageOps.exif_transpose(image) if image.getexif() else image
            return torch.from_numpy(rgb(upright, name)).permute(2, 0, 1)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"cannot decode {name}: {error}; replace it or remove it from the data set") from error
    except UNREADABLE as error:
        raise DataError(
            f"cannot decode {name}: the image is truncated or not an image ({len(blob)} bytes); "
            "replace it or remove it from the data set"
        ) from error


def fit(image: Tensor, size: int) -> Tensor:
    """Resize the shorter side to `size` by antialiased bicubic interpolation and keep the central square.

    Shape:
        image (3, H, W) uint8 -> (3, size, size) uint8.
    """
    height, width = image.shape[-2:]
    if min(height, width) != size:
        scale = size / min(height, width)
        shape = (max(size, round(height * scale)), max(size, round(width * scale)))
        image = interpolate(image[None], size=shape, mode="bicubic", antialias=True)[0]
        height, width = shape
    top, left = (height - size) // 2, (width - size) // 2
    return image[:, top : top + size, left : left + size]


def stack(read: Callable[[int], Tensor], count: int, size: int) -> Tensor:
    """Read `count` images in parallel threads and fit each to a square.

    Args:
        read: gives image number 0 <= i < count as (3, H, W) uint8.
        count: number of images.
        size: height and width of the result.

    Returns:
        (count, 3, size, size) uint8.
    """
    pixels = torch.empty((count, 3, size, size), dtype=torch.uint8)

    def fill(start: int) -> None:
        for place in range(start, min(start + _CHUNK, count)):
            pixels[place] = fit(read(place), size)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(fill, range(0, count, _CHUNK)):
            pass
    return pixels
