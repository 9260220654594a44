"""Pairs of images held as bytes: aligned random views to train on, whole images to evaluate on.

One structure serves super-resolution (the target is `scale` times larger), edges, masks and denoising.

Shape suffixes: B batch, C channels, H and W whole image, s side of a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from densedistill.datasets.base import Batch, EvalSet, TaskData, ViewPlan
from densedistill.datasets.views import uniform

Symmetry = Literal["none", "flip", "dihedral"]
"""Random symmetries of a view: none, left-right flips, or all eight of the square."""

Size = tuple[int, int]
"""Height and width in pixels."""

TargetKind = Literal["shares", "classes"]
"""What the bytes of a target are: `shares`, 0 to 255 for 0 to 1; `classes`, the number of each pixel's class."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Frame(NamedTuple):
    """Where a view of an image lies: whole numbers, which any process turns into the same pixels."""

    image: int
    """Place of the image in its set."""
    top: int
    left: int
    turn: int
    """A symmetry of the square, as `turned` numbers them."""


def frames(
    plan: ViewPlan,
    seed: int,
    sizes: Sequence[Size],
    side: int,
    symmetry: Symmetry,
    cells: np.ndarray | None = None,
) -> list[Frame]:
    """The frame of each view of `plan`: a pure function of its (image, view) and `seed`.

    Args:
        plan: B images and their views.
        seed: names the random numbers.
        sizes: of all images of the set.
        side: height and width of a view in pixels.
        symmetry: which turns may occur.
        cells: (P, 3) image, top and left of the fixed patches that the plan's images are places of. None: the plan's
            images are those of the set, and a view lies anywhere in its image.
    """
    if cells is None:
        corners = uniform(seed, plan.images, plan.views, "crop", 2)
        wanted = [sizes[image] for image in plan.images]
        places = [
            (image, corner[0] * (height - side + 1), corner[1] * (width - side + 1))
            for image, (height, width), corner in zip(plan.images, wanted, corners, strict=True)
        ]
    else:
        places = list(cells[plan.images])
    turns = _turns(uniform(seed, plan.images, plan.views, "symmetry")[:, 0], symmetry)
    return [
        Frame(image=int(image), top=int(top), left=int(left), turn=int(turn))
        for (image, top, left), turn in zip(places, turns, strict=True)
    ]


def equal_runs(shapes: Sequence[object], largest: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive stretches of equal shapes, none longer than `largest`."""
    start = 0
    for place in range(1, len(shapes) + 1):
        if place == len(shapes) or place - start == largest or shapes[place] != shapes[start]:
            yield start, place
            start = place


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
    target_kind: TargetKind = "shares"
    cells: np.ndarray | None = None
    """(P, 3) int64: image, top and left of fixed patches, which then count as the set's images, and a view's number
    changes its turn alone (see `dense_grid`). None: a view lies anywhere in its image."""

    def __post_init__(self) -> None:
        for place, (source, target) in enumerate(zip(self.inputs, self.targets, strict=True)):
            height, width = source.shape[1:]
            if min(height, width) < self.crop:
                raise ValueError(f"image {place} of {height}x{width} is smaller than a view of {self.crop}")
            if target.shape[1:] != (height * self.scale, width * self.scale):
                raise ValueError(f"target {place} is not {self.scale} times its image of {height}x{width}")

    def __len__(self) -> int:
        return len(self.inputs if self.cells is None else self.cells)

    def plain(self, place: int) -> Tensor:
        """Image `place` as it is, whole: (C, H, W) uint8; of a patch, the image that it is cut from."""
        return torch.from_numpy(self.inputs[place if self.cells is None else self.cells[place, 0]])

    def batches(self, plans: Sequence[ViewPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """`input` (B, C, s, s) normalised, `target` as `as_target` gives it of scale x s a side, `index` (B,)."""
        for plan in plans:
            inputs, targets = self._views(plan, seed)
            yield {
                "input": normalised(torch.from_numpy(inputs), self.mean, self.std, device),
                "target": as_target(torch.from_numpy(targets), self.target_kind, device),
                "index": torch.from_numpy(plan.images.astype(np.int64)).to(device),
            }

    def _views(self, plan: ViewPlan, seed: int) -> tuple[np.ndarray, np.ndarray]:
        side, large = self.crop, self.crop * self.scale
        sizes = [(source.shape[1], source.shape[2]) for source in self.inputs]
        count = len(plan.images)
        inputs = np.empty((count, self.inputs[0].shape[0], side, side), np.uint8)
        targets = np.empty((count, self.targets[0].shape[0], large, large), np.uint8)
        for row, (image, top, left, turn) in enumerate(frames(plan, seed, sizes, side, self.symmetry, self.cells)):
            inputs[row] = turned(window(self.inputs[image], top, left, side), turn)
            target = window(self.targets[image], top * self.scale, left * self.scale, large)
            targets[row] = turned(target, turn)
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
    target_kind: TargetKind = "shares"

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """`input` (B, C, H, W) normalised, `target` as `as_target` gives it, `index` (B,)."""
        largest = min(batch_size, self.max_batch or batch_size)
        shapes = [(source.shape, target.shape) for source, target in zip(self.inputs, self.targets, strict=True)]
        for start, stop in equal_runs(shapes, largest):
            yield {
                "input": normalised(torch.from_numpy(np.stack(self.inputs[start:stop])), self.mean, self.std, device),
                "target": as_target(torch.from_numpy(np.stack(self.targets[start:stop])), self.target_kind, device),
                "index": torch.arange(start, stop, device=device),
            }


def turned(view: np.ndarray, turn: int) -> np.ndarray:
    """`view` (C, s, s) under symmetry `turn`: `turn % 4` quarter turns, then a left-right flip from 4 on."""
    rotated = np.rot90(view, turn % 4, axes=(1, 2))
    return rotated[:, :, ::-1] if turn >= 4 else rotated


def window(planes: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """The square of `side` pixels of `planes` (C, H, W) at (top, left)."""
    return planes[:, top : top + side, left : left + side]


def unit_range(pixels: Tensor, device: torch.device) -> Tensor:
    """uint8 to float32 in [0, 1] on `device`; the copy to the device is made in bytes."""
    return pixels.to(device).to(torch.float32).div_(255.0)


def untrained(name: str, tests: Mapping[str, EvalSet], notes: tuple[str, ...]) -> TaskData:
    """Data of which nothing is trained on: test sets, the first in place of validation as well."""
    return TaskData(
        name=name,
        train=DenseTrain(inputs=(), targets=(), crop=1),
        val=next(iter(tests.values())),
        tests=tests,
        fingerprint="",
        notes=notes,
    )


def as_target(pixels_BKHW: Tensor, kind: TargetKind, device: torch.device) -> Tensor:
    """uint8 to what losses read: (B, K, H, W) float32 in [0, 1], or of classes (B, H, W) int64."""
    if kind == "classes":
        return pixels_BKHW[:, 0].to(device).to(torch.int64)
    return unit_range(pixels_BKHW, device)


def normalised(pixels_BCHW: Tensor, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Tensor:
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
