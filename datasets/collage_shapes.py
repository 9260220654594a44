"""Outlines of collage pieces and the textures that fill them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

_OVERSAMPLING = 4
_LEAST_CONTRAST = 12.0
"""Standard deviation in grey levels below which a piece of a photograph is too plain for a texture."""


def draw_piece(rng: np.random.Generator, size: int) -> tuple[np.ndarray, int]:
    """How much of each pixel a random piece covers, (size, size) float64 in [0, 1], and its place in `SHAPES`."""
    shape = int(rng.integers(len(_OUTLINES)))
    outline = _OUTLINES[shape](rng)
    radius = rng.uniform(0.16, 0.42) * size
    centre = rng.uniform(0.05, 0.95, 2) * size
    angle = rng.uniform(0.0, 2.0 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (outline @ turn.T * radius + centre) * _OVERSAMPLING
    canvas = Image.new("L", (size * _OVERSAMPLING, size * _OVERSAMPLING))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points], fill=255)
    return np.asarray(canvas.reduce(_OVERSAMPLING), np.float64) / 255.0, shape


def cut_texture(rng: np.random.Generator, photo: np.ndarray, size: int) -> np.ndarray:
    """(3, size, size) float64 in [0, 255]: a random square of `photo` (H, W, 3), resized, turned and toned."""
    for _ in range(4):
        side = min(rng.uniform(0.6, 2.0) * size, *photo.shape[:2])
        top, left = (rng.uniform(0.0, length - side) for length in photo.shape[:2])
        piece = photo[int(top) : int(top + side), int(left) : int(left + side)]
        if piece.std() >= _LEAST_CONTRAST:
            break
    square = Image.fromarray(piece).resize((size, size), Image.Resampling.BICUBIC)
    turned = np.rot90(np.asarray(square), int(rng.integers(4)))
    gain = rng.uniform(0.7, 1.25, 3)
    shade = 1.0 + rng.uniform(-0.25, 0.25, 2) @ _ramps(size).reshape(2, -1)
    # Planes, changed in place: a factor for each pixel is slow to spread over three channels that lie side by side.
    toned = turned.transpose(2, 0, 1).astype(np.float64, order="C")
    toned *= gain.reshape(3, 1, 1)
    toned *= shade.reshape(size, size)
    toned += rng.uniform(-25.0, 25.0)
    return toned.clip(0.0, 255.0, out=toned)


@lru_cache(maxsize=4)
def _ramps(size: int) -> np.ndarray:
    """(2, size, size), read-only: down and across, -1 to 1."""
    line = np.linspace(-1.0, 1.0, size)
    ramps = np.stack(np.meshgrid(line, line, indexing="ij"))
    ramps.setflags(write=False)
    return ramps


def _ellipse(rng: np.random.Generator) -> np.ndarray:
    angles = np.linspace(0.0, 2.0 * np.pi, 72, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.4, 1.0)], axis=1)


def _polygon(rng: np.random.Generator) -> np.ndarray:
    corners = int(rng.integers(3, 8))
    angles = (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) * 2.0 * np.pi / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(0.65, 1.15, (corners, 1))


def _blob(rng: np.random.Generator) -> np.ndarray:
    angles = np.linspace(0.0, 2.0 * np.pi, 96, endpoint=False)
    waves = np.arange(2, 6)[:, None]
    swing = np.cos(waves * angles + rng.uniform(0.0, 2.0 * np.pi, (4, 1)))
    radii = 0.9 + (rng.uniform(0.0, 0.5, (4, 1)) / waves * swing).sum(axis=0)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points: np.ndarray = circle * radii[:, None]
    return points


def _bar(rng: np.random.Generator) -> np.ndarray:
    half = rng.uniform(0.18, 0.5)
    return np.array([(-1.2, -half), (1.2, -half), (1.2, half), (-1.2, half)])


SHAPES = ("ellipse", "polygon", "blob", "bar")

_OUTLINES: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (_ellipse, _polygon, _blob, _bar)
"""In the order of `SHAPES`; each returns (points, 2) around the origin, about one unit in radius."""
