"""Classification data that is always there: crops of photographs that ship inside scikit-image and scikit-learn.

The class of a crop is its photograph. Each photograph is laid out in square tiles with a gap between them; every
tile belongs to one of train, val and test, and a crop lies inside one tile, so no pixel is in two parts.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from densedistill.datasets.labelled import ClassificationSource, LabelledImages, PixelImages
from densedistill.datasets.photos import load_photo, photo_names
from densedistill.datasets.views import uniform

CROP = 32
"""Side of a crop in the photograph, in pixels."""
TILE = 48
GAP = 8
NATIVE_SIZE = 16
"""Height and width that the images have, or are customarily used at, in pixels."""
_CROPS = {"train": 200, "val": 40, "test": 60}
"""Crops per photograph."""
_SHARES = {"val": 0.15, "test": 0.25}
"""Share of a photograph's tiles; the rest is for training."""


def read_photo_crops(seed: int) -> ClassificationSource:
    """The crops, with the tiles dealt out by `seed`; the same crops for the same seed, always."""
    names = photo_names()
    parts = {part: _labelled([crops(name, part, seed) for name in names], names, part) for part in _CROPS}
    digest = hashlib.sha256()
    for images in parts.values():
        for place in range(len(images)):
            digest.update(images.images.read(place).numpy().tobytes())
    return ClassificationSource(
        name="photo-crops",
        classes=names,
        train=parts["train"],
        val=parts["val"],
        tests={"photo-crops": parts["test"]},
        digest=digest.hexdigest(),
        embedded=True,
        notes=(
            f"{CROP}x{CROP} crops of {len(names)} photographs shipped in scikit-image and scikit-learn; the class is "
            "the photograph, and train, val and test share no pixel",
        ),
    )


def tiles(height: int, width: int, seed: int, photograph: int) -> dict[str, np.ndarray]:
    """(T, 2) int64 top-left corners of the tiles of each part, in a photograph of this size."""
    rows = np.arange(0, height - TILE + 1, TILE + GAP)
    columns = np.arange(0, width - TILE + 1, TILE + GAP)
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    places = np.arange(len(corners))
    draws = uniform(seed, places, np.full_like(places, photograph), "tiles")[:, 0]
    order = np.argsort(draws, kind="stable")
    val, test = (max(1, round(_SHARES[part] * len(corners))) for part in ("val", "test"))
    return {
        "val": corners[order[:val]],
        "test": corners[order[val : val + test]],
        "train": corners[order[val + test :]],
    }


def crops(name: str, part: str, seed: int) -> Tensor:
    """(count, 3, CROP, CROP) uint8 crops of one photograph, dealt evenly over the tiles of `part`."""
    photo = load_photo(name)
    photograph = photo_names().index(name)
    corners = tiles(photo.shape[0], photo.shape[1], seed, photograph)[part]
    places = np.arange(_CROPS[part])
    draws = uniform(seed, places, np.full_like(places, photograph), f"crop in {part}", 2)
    starts = corners[places % len(corners)] + (draws * (TILE - CROP + 1)).astype(np.int64)
    pieces = np.stack([photo[top : top + CROP, left : left + CROP] for top, left in starts])
    return torch.from_numpy(pieces).permute(0, 3, 1, 2)


def _labelled(stacks: list[Tensor], names: tuple[str, ...], part: str) -> LabelledImages:
    ids = [
        f"{name}-{part}-{number:03d}" for name, stack in zip(names, stacks, strict=True) for number in range(len(stack))
    ]
    labels = np.repeat(np.arange(len(names)), [len(stack) for stack in stacks])
    return LabelledImages(PixelImages(torch.cat(stacks).contiguous()), tuple(ids), labels)
