"""Photographs that ship inside scikit-image's and scikit-learn's wheels: real images without a download.

Roles keep scenes apart: an image that tests super-resolution is never trained on, and the textures of test
collages come from photographs that no training collage has seen. Only files in the wheels are listed, never what
scikit-image fetches on demand.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from densedistill.datasets.base import DataError
from densedistill.datasets.pixels import read_rgb

Role = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Photo:
    """One shipped photograph and what it may be used for."""

    name: str
    package: Literal["skimage", "sklearn"]
    file: str
    """Path inside the package."""
    super_resolution: Role | None = None
    texture: Role | None = None


def _skimage(file: str, *, sr: Role | None = None, texture: Role | None = None) -> Photo:
    return Photo(name=Path(file).stem, package="skimage", file=f"data/{file}", super_resolution=sr, texture=texture)


def _sklearn(file: str, *, sr: Role | None = None, texture: Role | None = None) -> Photo:
    return Photo(
        name=Path(file).stem,
        package="sklearn",
        file=f"datasets/images/{file}",
        super_resolution=sr,
        texture=texture,
    )


PHOTOS: tuple[Photo, ...] = (
    # motorcycle_right.png is absent: it shows the scene of motorcycle_left.png, which is a test image.
    _skimage("astronaut.png", sr="test", texture="test"),
    _skimage("motorcycle_left.png", sr="test", texture="test"),
    _skimage("coffee.png", sr="val", texture="val"),
    _skimage("chelsea.png", sr="train", texture="train"),
    _skimage("rocket.jpg", sr="train", texture="train"),
    _skimage("hubble_deep_field.jpg", sr="train", texture="train"),
    _skimage("retina.jpg", sr="train", texture="train"),
    _skimage("ihc.png", sr="train", texture="train"),
    _sklearn("china.jpg", sr="train", texture="train"),
    _sklearn("flower.jpg", sr="train", texture="val"),
    _skimage("brick.png", texture="train"),
    _skimage("gravel.png", texture="train"),
    _skimage("coins.png", texture="train"),
    _skimage("page.png", texture="train"),
    _skimage("grass.png", texture="val"),
    _skimage("camera.png", texture="test"),
    _skimage("cell.png", texture="test"),
    _skimage("moon.png", texture="test"),
)


def photo_names() -> tuple[str, ...]:
    """Every listed photograph."""
    return tuple(photo.name for photo in PHOTOS)


def super_resolution_photos(role: Role) -> tuple[str, ...]:
    """Names of the colour photographs with this role in super-resolution."""
    return tuple(photo.name for photo in PHOTOS if photo.super_resolution == role)


def texture_photos(role: Role) -> tuple[str, ...]:
    """Names of the photographs whose textures collages of this role may use."""
    return tuple(photo.name for photo in PHOTOS if photo.texture == role)


@cache
def load_photo(name: str) -> np.ndarray:
    """(H, W, 3) uint8, read-only; a grayscale photograph is copied to three channels.

    Raises:
        DataError: no such photograph, or the installed package lacks its file.
    """
    found = [photo for photo in PHOTOS if photo.name == name]
    if not found:
        raise DataError(f"unknown photograph '{name}': choose one of {', '.join(photo_names())}")
    pixels = read_rgb(_package_folder(found[0].package) / found[0].file)
    pixels.setflags(write=False)
    return pixels


def _package_folder(package: str) -> Path:
    # The spec is found without importing the package, which would cost a second of start-up.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"the package {package} is not installed: its photographs are the embedded data")
    return Path(spec.submodule_search_locations[0])
