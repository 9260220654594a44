"""Pairs of images held as bytes: aligned random views to train on, whole images to evaluate on.

One structure serves super-resolution (the target is `scale` times larger), edges, masks and denoising.

Shape suffixes: B batch, C channels, H and W whole image, s side of a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from densedistill.datasets.base import Batch, ViewPlan
from densedistill.datasets.views import uniform

Symmetry = Literal["none", "flip", "dihedral"]
"""Random symmetries of a view: none, left-right flips, or all eight of the square."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseTrain:
    """Random square views of images and the views of their targets at the same place.

    Raises:
        ValueError: an image is smaller than a view, or a target is not `scale` times its image.
    """

    inputs: Sequence[np.ndarray]
    """(C, H, W) uint8 each; sizes may differ."""
    targets: Sequence[np.ndarray]
    """(K, scale x H, scale x W) uint8 each."""
    crop: int
    """Side of a view in pixels of the input."""
    scale: int = 1
    """Side of the target over side of the input."""
    symmetry: Symmetry = "none"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for place, (source, target) in enumerate(zip(self.inputs, self.targets, strict=True)):
            height, width = source.shape[1:]
            if min(height, width) < self.crop:
                raise ValueError(f"image {place} of {height}x{width} is smaller than a view of {self.crop}")
            if target.shape[1:] != (height * self.scale, width * self.scale):
                raise ValueError(f"target {place} is not {self.scale} times its image of {height}x{width}")

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, plans: Sequence[ViewPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """`input` (B, C, s, s) normalised, `target` (B, K, scale x s, scale x s) in [0, 1], `index` (B,)."""
        for plan in plans:
            inputs, targets = self._views(plan, seed)
            yield {
                "input": normalised(inputs, self.mean, self.std, device),
                "target": unit_range(targets, device),
                "index": torch.from_numpy(plan.images.astype(np.int64)).to(device),
            }

    def _views(self, plan: ViewPlan, seed: int) -> tuple[np.ndarray, np.ndarray]:
        side, large = self.crop, self.crop * self.scale
        corners = uniform(seed, plan.images, plan.views, "crop", 2)
        turns = _turns(uniform(seed, plan.images, plan.views, "symmetry")[:, 0], self.symmetry)
        count = len(plan.images)
        inputs = np.empty((count, self.inputs[0].shape[0], side, side), np.uint8)
        targets = np.empty((count, self.targets[0].shape[0], large, large), np.uint8)
        for row, image in enumerate(plan.images):
            source, target = self.inputs[image], self.targets[image]
            top = int(corners[row, 0] * (source.shape[1] - side + 1))
            left = int(corners[row, 1] * (source.shape[2] - side + 1))
            inputs[row] = turned(_window(source, top, left, side), turns[row])
            targets[row] = turned(_window(target, top * self.scale, left * self.scale, large), turns[row])
        return inputs, targets


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseEval:
    """Whole images in a fixed order, batched while their neighbours have the same shape."""

    ids: Sequence[str]
    inputs: Sequence[np.ndarray]
    """(C, H, W) uint8 each."""
    targets: Sequence[np.ndarray]
    """(K, H', W') uint8 each."""
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    max_batch: int | None = None
    """Never more images than this at once, whatever the caller asks: whole images can be large."""

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """`input` (B, C, H, W) normalised, `target` (B, K, H', W') in [0, 1], `index` (B,)."""
        largest = min(batch_size, self.max_batch or batch_size)
        for start, stop in self._runs(largest):
            yield {
                "input": normalised(np.stack(self.inputs[start:stop]), self.mean, self.std, device),
                "target": unit_range(np.stack(self.targets[start:stop]), device),
                "index": torch.arange(start, stop, device=device),
            }

    def _runs(self, largest: int) -> Iterator[tuple[int, int]]:
        start = 0
        for place in range(1, len(self.inputs) + 1):
            full = place - start == largest
            if place == len(self.inputs) or full or self._shapes(place) != self._shapes(start):
                yield start, place
                start = place

    def _shapes(self, place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.inputs[place].shape, self.targets[place].shape


def turned(view: np.ndarray, turn: int) -> np.ndarray:
    """`view` (C, s, s) under symmetry `turn`: `turn % 4` quarter turns, then a left-right flip from 4 on."""
    rotated = np.rot90(view, turn % 4, axes=(1, 2))
    return rotated[:, :, ::-1] if turn >= 4 else rotated


def unit_range(pixels: np.ndarray, device: torch.device) -> Tensor:
    """uint8 to float32 in [0, 1] on `device`; the copy to the device is made in bytes."""
    return torch.from_numpy(pixels).to(device).to(torch.float32).div_(255.0)


def normalised(
    pixels_BCHW: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> Tensor:
    """(B, C, H, W) uint8 to (pixel in [0, 1] - mean) / std, float32."""
    shift = torch.tensor(mean, device=device).view(1, -1, 1, 1)
    spread = torch.tensor(std, device=device).view(1, -1, 1, 1)
    return unit_range(pixels_BCHW, device).sub_(shift).div_(spread)


def _turns(draws: np.ndarray, symmetry: Symmetry) -> np.ndarray:
    if symmetry == "dihedral":
        return (draws * 8).astype(np.int64)
    if symmetry == "flip":
        return np.where(draws < 0.5, 0, 4)
    return np.zeros(len(draws), np.int64)


def _window(planes: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    return planes[:, top : top + side, left : left + side]
