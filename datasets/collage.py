"""Collages: overlapping pieces filled with textures of photographs, whose boundaries are known exactly.

Edges inside a texture are no boundaries, so a network has to learn what bounds a piece. The photographs of train, val
and test are disjoint: a network cannot recognise a texture of the test. Where it is to recognise them, all parts are
made of the same materials, each photograph of which is divided among the parts.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from densedistill.datasets.collage_shapes import cut_texture, draw_piece
from densedistill.datasets.photos import Role, load_photo, texture_photos

MATERIALS = ("brick", "coins", "grass", "gravel", "hubble_deep_field", "ihc", "moon", "page")
"""Photographs that look alike from side to side."""

_ROLE_CODES = {"train": 0, "val": 1, "test": 2}
_STRIPS = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
"""Which part of a material's width belongs to which part of the split: no pixel is in two of them."""
_SHADOW = 0.45


@dataclass(frozen=True, kw_only=True, slots=True)
class Collages:
    """A set of collages with their exact segmentation; N images of S x S pixels."""

    images: np.ndarray
    """(N, S, S, 3) uint8."""
    labels: np.ndarray
    """(N, S, S) uint8: 0 the background, 1, 2, ... the pieces, later ones on top of earlier ones."""
    shapes: np.ndarray
    """(N, S, S) uint8: 0 the background, 1, 2, ... the shape of the piece, as `SHAPES` names them."""
    textures: np.ndarray
    """(N, S, S) uint8: which of `photographs` the pixel's texture comes from."""
    photographs: tuple[str, ...]


def make_collages(role: Role, count: int, size: int, seed: int, *, materials: bool = False) -> Collages:
    """`count` collages for a part of the split; a pure function of its arguments.

    Args:
        role: which part.
        count: N.
        size: S in pixels.
        seed: names the random numbers.
        materials: textures are cut from that part of `MATERIALS` which is this role's, not from photographs of its own.

    Raises:
        DataError: an embedded photograph is missing.
    """
    names = MATERIALS if materials else texture_photos(role)
    photos = [_strip(load_photo(name), role) if materials else load_photo(name) for name in names]
    images = np.empty((count, size, size, 3), np.uint8)
    labels, shapes, textures = np.empty((3, count, size, size), np.uint8)

    def make(place: int) -> None:
        rng = np.random.default_rng([seed, _ROLE_CODES[role], place])
        images[place], labels[place], shapes[place], textures[place] = _compose(rng, photos, size)

    # Pillow and NumPy let go of the interpreter's lock for most of the time that a collage takes.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(make, range(count)):
            pass
    return Collages(images=images, labels=labels, shapes=shapes, textures=textures, photographs=names)


def label_boundaries(labels: np.ndarray) -> np.ndarray:
    """(..., H, W) labels to (..., H, W) bool: pixels with another label above, below, left or right of them.

    Both sides of a boundary are marked, so it is two pixels thick and mirrors with its image.
    """
    boundary = np.zeros(labels.shape, bool)
    down = labels[..., 1:, :] != labels[..., :-1, :]
    across = labels[..., :, 1:] != labels[..., :, :-1]
    boundary[..., 1:, :] |= down
    boundary[..., :-1, :] |= down
    boundary[..., :, 1:] |= across
    boundary[..., :, :-1] |= across
    return boundary


def _compose(
    rng: np.random.Generator, photos: list[np.ndarray], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A collage (S, S, 3) uint8, its labels, shapes and textures (S, S) uint8."""
    pieces = int(rng.integers(4, 9))
    order = np.concatenate([rng.permutation(len(photos)) for _ in range(1 + pieces // len(photos))])
    image = cut_texture(rng, photos[order[0]], size)
    labels, shapes = np.zeros((2, size, size), np.uint8)
    textures = np.full((size, size), order[0], np.uint8)
    for label in range(1, pieces + 1):
        cover, shape = draw_piece(rng, size)
        image *= 1.0 - _SHADOW * _shadow(rng, cover)
        texture = cut_texture(rng, photos[order[label]], size)
        texture -= image
        texture *= cover
        image += texture
        inside = cover >= 0.5
        labels[inside], shapes[inside], textures[inside] = label, 1 + shape, order[label]
    noisy = image.transpose(1, 2, 0) + rng.normal(0.0, 2.0, (size, size, 3))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), labels, shapes, textures


def _strip(photo: np.ndarray, role: Role) -> np.ndarray:
    start, stop = (round(share * photo.shape[1]) for share in _STRIPS[role])
    return photo[:, start:stop]


def _shadow(rng: np.random.Generator, cover: np.ndarray) -> np.ndarray:
    """(S, S) in [0, 1]: the piece's soft shadow, which tempts a detector that looks for contrast alone."""
    size = cover.shape[0]
    offset = rng.integers(-size // 32, size // 32 + 1, 2)
    shifted = np.roll(cover, offset, axis=(0, 1))
    blurred = Image.fromarray((shifted * 255.0).astype(np.uint8)).filter(ImageFilter.GaussianBlur(size / 48))
    return np.asarray(blurred).astype(np.float64) / 255.0
