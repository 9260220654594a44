"""Folders of very many small images, made for measuring how cost grows with a data set."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from densedistill.distill import wording
from densedistill.distill.errors import RequestError
from densedistill.distill.files import write_json

_DISTINCT = 512
"""So many different files are encoded and then repeated: what loading costs does not depend on which they are."""
_VERSION = 1
_MANIFEST = "set.json"
_FEWEST_OF_A_CLASS = 2
"""One at least for training beside one that may be held out."""


def image_folder(root: Path, images: int, size: int, classes: int) -> Path:
    """A folder `train/CLASS/*.jpg` of `images` JPEG files of size x size pixels, and `val` with one for each class.

    Made below `root`, always alike; reused where it is there already, finished where it was left half-made.

    Raises:
        RequestError: too few images for the classes, no room on the disk, or `root` cannot be written.
    """
    require_enough(images, classes)
    folder = root / f"{images}-images-of-{size}"
    content = {"version": _VERSION, "images": images, "size": size, "classes": classes}
    if _manifest(folder) == content:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = _encoded(size)
        _require_room(folder, images + classes, max(len(file) for file in files))
        _write(folder, files, images, classes)
        write_json(folder / _MANIFEST, content)
    except OSError as error:
        raise RequestError(f"--folder {root} cannot be used ({error.strerror}): give another folder.") from None
    return folder


def require_enough(images: int, classes: int) -> None:
    """RequestError where `images` cannot be spread over `classes`."""
    if images < _FEWEST_OF_A_CLASS * classes:
        raise RequestError(
            f"a set of {images} images is too small for {classes} classes: give {_FEWEST_OF_A_CLASS * classes} or more "
            "images, or fewer --classes."
        )


def _manifest(folder: Path) -> object:
    try:
        return json.loads((folder / _MANIFEST).read_text())
    except (OSError, ValueError):
        return None


def _encoded(size: int) -> list[bytes]:
    """JPEG files of coarse random blocks with fine noise: of a photograph's size, and with something to decode."""
    random = np.random.default_rng(0)
    files = []
    for _ in range(_DISTINCT):
        blocks = random.integers(0, 256, (4, 4, 3), np.uint8)
        large = np.asarray(Image.fromarray(blocks).resize((size, size), Image.Resampling.BICUBIC))
        noisy = large.astype(np.int16) + random.integers(-12, 13, large.shape)
        target = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(target, "JPEG", quality=85)
        files.append(target.getvalue())
    return files


def _require_room(folder: Path, files: int, largest: int) -> None:
    """RequestError where the disk has not enough blocks or entries left."""
    disk = os.statvfs(folder)
    blocks = -(-largest // disk.f_frsize)
    needed, free = files * blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    if needed > free:
        raise RequestError(
            f"{files} images need up to {wording.gibibytes(needed)}, but {wording.gibibytes(free)} are free at "
            f"{folder}: give a smaller dataset=, or --folder on another disk."
        )
    # Some file systems have no fixed number of entries and say 0.
    if disk.f_files and files > disk.f_favail:
        raise RequestError(
            f"{files} images need as many file entries, but {disk.f_favail} are free at {folder}: give a smaller "
            "dataset=, or --folder on another disk."
        )


def _write(folder: Path, files: list[bytes], images: int, classes: int) -> None:
    for part, count in (("train", images), ("val", classes)):
        names = [folder / part / f"class-{label:04d}" for label in range(classes)]
        for name in names:
            name.mkdir(parents=True, exist_ok=True)
        paths = [str(name) for name in names]
        for place in range(count):
            with open(f"{paths[place % classes]}/{place:07d}.jpg", "wb") as target:  # noqa: PTH123 (a million times)
                target.write(files[place % len(files)])
