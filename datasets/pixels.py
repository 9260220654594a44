"""Image files to 8-bit arrays, by one rule for every data set of this package.

Grayscale is copied to three channels; transparency is laid over white; a palette is looked up; of 16-bit
samples the high byte is kept. Where a mask or a map goes with an image, its pixels are taken as stored: an EXIF
orientation is not applied, so that what was drawn on the stored pixels fits. Images to classify, and those that a
trained network is applied to, are turned upright.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from densedistill.datasets.base import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
_ORIENTATION = 0x0112
"""EXIF's tag."""

# Editors write their whole history into one text chunk of a PNG, and Pillow refuses the image for one of 1 MiB. As much
# as it grants all chunks together is no danger to the memory.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for a file that is damaged, cut short, no image, or far too large to be one."""


def image_files(folder: Path) -> list[Path]:
    """The image files directly in `folder`, by name; empty where there is none or no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def by_stem(files: list[Path]) -> dict[str, Path]:
    """`files` by name without suffix.

    Raises:
        DataError: two files differ in their suffix alone.
    """
    found: dict[str, Path] = {}
    for path in files:
        if path.stem in found:
            raise DataError(
                f"{found[path.stem]} and {path.name} have the same name but for the suffix: keep one of them"
            )
        found[path.stem] = path
    return found


def read_rgb(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, as stored.

    Raises:
        DataError: the file is missing, truncated or no image.
    """
    with _opened(path) as image:
        return rgb(image, str(path))


def read_upright(path: Path) -> tuple[np.ndarray, bool]:
    """(H, W, 3) uint8, and whether it was turned or mirrored, since EXIF says that it was stored so.

    Raises:
        DataError: the file is missing, truncated or no image.
    """
    with _opened(path) as image:
        turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
        return rgb(ImageOps.exif_transpose(image) if turned else image, str(path)), turned


def rgb(image: Image.Image, name: str) -> np.ndarray:
    """(H, W, 3) uint8 of an open image, by this module's rule.

    Raises:
        DataError: the samples are beyond 16 bits, or floating-point; `name` says of which image.
    """
    image.load()
    return np.array(_laid_over("white", _eight_bits(image, name)).convert("RGB"))


def read_mask(path: Path) -> np.ndarray:
    """(H, W) uint8, 255 = full; a file whose largest value is 1 is read as 0/1.

    Raises:
        DataError: the file is missing, truncated or no image.
    """
    with _opened(path) as image:
        image.load()
        mask = np.array(_eight_bits(image, str(path)).convert("L"))
    return mask * np.uint8(255) if mask.max(initial=0) == 1 else mask


def read_map(path: Path) -> np.ndarray:
    """(H, W) uint8, a map of strengths as stored: colour by its luma, transparency over black, 0/1 of one bit as 0/255.

    Raises:
        DataError: the file is missing, truncated or no image.
    """
    with _opened(path) as opened:
        opened.load()
        image = _eight_bits(opened, str(path))
    return np.array(_laid_over("black", image).convert("L"))


def read_labels(path: Path) -> np.ndarray:
    """(H, W) uint8, the number of each pixel's class: as stored, of a palette the index; equal channels count as one.

    Raises:
        DataError: the file is missing, truncated or no image, holds colours or numbers beyond 8 bits, or is a JPEG.
    """
    with _opened(path) as image:
        if image.format == "JPEG":
            raise DataError(f"{path} is a JPEG, which does not keep class numbers as they are: save masks as PNG")
        image.load()
        numbers = np.array(image)
    if numbers.ndim == 3:
        if (numbers[:, :, :1] != numbers[:, :, :3]).any():
            raise DataError(f"{path} holds colours: save the number of each pixel's class, in one channel of 8 bits")
        numbers = numbers[:, :, 0]
    if numbers.dtype.kind not in "bui" or numbers.min(initial=0) < 0 or numbers.max(initial=0) > 255:
        raise DataError(f"{path} holds numbers that are no classes: save whole ones from 0 to 255")
    return numbers.astype(np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header, without decoding the image.

    Raises:
        DataError: the file is missing or no image.
    """
    with _opened(path) as image:
        return image.height, image.width


def file_digest(path: Path) -> bytes:
    """SHA-256 of the file's bytes.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def to_planes(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) or (H, W) to contiguous (C, H, W)."""
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(planes)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Pillow warns about damaged metadata, which this package never reads.
            warnings.simplefilter("ignore", UserWarning)
            with Image.open(path) as image:
                yield image
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"there is no image {path}") from error
    except UNREADABLE as error:
        raise DataError(f"cannot read the image {path}: {error}; replace or remove the file") from error


def _laid_over(colour: str, image: Image.Image) -> Image.Image:
    """What is transparent shows `colour`; an image without transparency as it is."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, colour), image)


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.array(image).astype(np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) > 0xFFFF:
            raise DataError(f"{name} has samples beyond 16 bits: save it with 8 or 16 bits a sample")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F":
        raise DataError(f"{name} has floating-point samples: save it with 8 or 16 bits a sample")
    return image
