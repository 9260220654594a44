"""Pairs too large for memory: worker processes read them, cut the views and turn them, one by one.

Where a view lies and how it is turned is drawn here, by the rule that pairs in memory follow, and sent to the worker;
albumentations turns input and target alike. So a view has the same pixels as in memory, and a run may be resumed on a
machine with more of it, or less.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from densedistill.datasets.base import Batch, DataError, EvalSet, TrainSet, ViewPlan
from densedistill.datasets.dense import (
    DenseEval,
    DenseTrain,
    Frame,
    Symmetry,
    TargetKind,
    as_target,
    equal_runs,
    frames,
    normalised,
)
from densedistill.datasets.dense_grid import grid_cells
from densedistill.datasets.dense_pairs import HeldPairs, PairFiles, Pairs, Planes
from densedistill.datasets.pixels import to_planes
from densedistill.datasets.worker_loading import load_in_workers

if TYPE_CHECKING:
    from albumentations import D4

Key = TypeVar("Key")

_TURNS = ("e", "r90", "r180", "r270", "h", "hvt", "v", "t")
"""Albumentations' names of the square's symmetries, in the order of `turned`."""

_NO_MEAN = (0.0, 0.0, 0.0)
_NO_STD = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseWorkerTrain:
    """Random square views as `DenseTrain` gives them, pixel for pixel, of pairs that stay on disk.

    Raises:
        ValueError: an image is smaller than a view.
    """

    files: PairFiles
    crop: int
    """Side of a view in pixels of the input."""
    scale: int = 1
    """Side of the target over side of the input."""
    symmetry: Symmetry = "none"
    mean: tuple[float, ...] = _NO_MEAN
    std: tuple[float, ...] = _NO_STD
    workers: int = 2
    """Processes that read; 0: none, the caller itself."""
    target_kind: TargetKind = "shares"
    cells: np.ndarray | None = None
    """Fixed patches, as `DenseTrain` takes them; None: a view lies anywhere in its image."""

    def __post_init__(self) -> None:
        for place, (height, width) in enumerate(self.files.sizes):
            if min(height, width) < self.crop:
                raise ValueError(f"image {place} of {height}x{width} is smaller than a view of {self.crop}")

    def __len__(self) -> int:
        return len(self.files.sizes if self.cells is None else self.cells)

    def plain(self, place: int) -> Tensor:
        """As `DenseTrain.plain`; DataError where the image cannot be read."""
        return torch.from_numpy(self.files.read(place if self.cells is None else int(self.cells[place, 0]))[0])

    def batches(self, plans: Sequence[ViewPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """Batches as `DenseTrain.batches`; the same processes serve all of them.

        Raises:
            DataError: a file cannot be read; the message names it.
        """
        sizes = self.files.sizes
        wanted = [frames(plan, seed, sizes, self.crop, self.symmetry, self.cells) for plan in plans]
        if self.symmetry != "none":
            # A forked worker inherits the import, which takes seconds.
            square_symmetry()
        views = load_in_workers(_Views(self.files, self.crop), wanted, self.workers, _stacked)
        for plan, pixels in zip(plans, views, strict=True):
            yield _batch(self, pixels, plan.images.astype(np.int64), device)


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseWorkerEval:
    """Whole images as `DenseEval` gives them, pixel for pixel, read when their batch is due.

    At most two batches for each worker are in memory.
    """

    ids: Sequence[str]
    files: PairFiles
    mean: tuple[float, ...] = _NO_MEAN
    std: tuple[float, ...] = _NO_STD
    max_batch: int | None = None
    """Never more images than this at once, whatever the caller asks."""
    workers: int = 2
    """Processes that read; 0: none, the caller itself."""
    target_kind: TargetKind = "shares"

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """Batches as `DenseEval.batches`; DataError names a file that cannot be read."""
        largest = min(batch_size, self.max_batch or batch_size)
        wanted = [list(range(start, stop)) for start, stop in equal_runs(self.files.sizes, largest)]
        wholes = load_in_workers(_Wholes(self.files), wanted, self.workers, _stacked)
        for places, pixels in zip(wanted, wholes, strict=True):
            yield _batch(self, pixels, np.array(places), device)


def dense_train(
    pairs: Pairs,
    *,
    crop: int,
    scale: int = 1,
    symmetry: Symmetry = "none",
    mean: tuple[float, ...] = _NO_MEAN,
    std: tuple[float, ...] = _NO_STD,
    workers: int,
    target_kind: TargetKind = "shares",
    grid: bool = False,
) -> TrainSet:
    """A training set of pairs, wherever they are; the arguments are those of `DenseWorkerTrain`.

    With `grid`, the patches of a fixed grid over every image count as the set's images.
    """
    sizes = [source.shape[1:] for source in pairs.inputs] if isinstance(pairs, HeldPairs) else pairs.sizes
    cells = grid_cells(sizes, crop) if grid else None
    if not isinstance(pairs, HeldPairs):
        return DenseWorkerTrain(
            files=pairs,
            crop=crop,
            scale=scale,
            symmetry=symmetry,
            mean=mean,
            std=std,
            workers=workers,
            target_kind=target_kind,
            cells=cells,
        )
    return DenseTrain(
        inputs=pairs.inputs,
        targets=pairs.targets,
        crop=crop,
        scale=scale,
        symmetry=symmetry,
        mean=mean,
        std=std,
        target_kind=target_kind,
        cells=cells,
    )


def dense_eval(
    ids: Sequence[str],
    pairs: Pairs,
    *,
    mean: tuple[float, ...] = _NO_MEAN,
    std: tuple[float, ...] = _NO_STD,
    max_batch: int | None = None,
    workers: int,
    target_kind: TargetKind = "shares",
) -> EvalSet:
    """An evaluation set of pairs, wherever they are; the arguments are those of `DenseWorkerEval`."""
    if not isinstance(pairs, HeldPairs):
        return DenseWorkerEval(
            ids=ids,
            files=pairs,
            mean=mean,
            std=std,
            max_batch=max_batch,
            workers=workers,
            target_kind=target_kind,
        )
    return DenseEval(
        ids=ids,
        inputs=pairs.inputs,
        targets=pairs.targets,
        mean=mean,
        std=std,
        max_batch=max_batch,
        target_kind=target_kind,
    )


@cache
def square_symmetry() -> D4:
    """Albumentations' symmetries of the square."""
    # Albumentations asks the package index for its latest version when imported, and warns where it cannot.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations as A

    return A.D4(p=1)


# Errors travel as values: a DataLoader would wrap an exception's message in a worker's traceback.


@dataclass(frozen=True)
class _Views(Dataset[Planes | str]):
    """Views by frame."""

    files: PairFiles
    side: int

    def __getitem__(self, frame: Frame) -> Planes | str:
        try:
            source, target = self.files.read_window(frame.image, frame.top, frame.left, self.side)
        except DataError as error:
            return str(error)
        return _turned(source, frame.turn), _turned(target, frame.turn)


@dataclass(frozen=True)
class _Wholes(Dataset[Planes | str]):
    """Whole pairs by place."""

    files: PairFiles

    def __getitem__(self, place: int) -> Planes | str:
        try:
            return self.files.read(place)
        except DataError as error:
            return str(error)


def _turned(planes: np.ndarray, turn: int) -> np.ndarray:
    if turn == 0:
        return planes
    pixels = np.ascontiguousarray(planes.transpose(1, 2, 0))
    return to_planes(square_symmetry().apply(pixels, group_element=_TURNS[turn]))


def _stacked(pairs: list[Planes]) -> tuple[Tensor, Tensor]:
    """Inputs and targets."""
    inputs, targets = zip(*pairs, strict=True)
    return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets))


def _batch(
    source: DenseWorkerTrain | DenseWorkerEval, pixels: tuple[Tensor, Tensor], places: np.ndarray, device: torch.device
) -> Batch:
    inputs, targets = pixels
    return {
        "input": normalised(inputs, source.mean, source.std, device),
        "target": as_target(targets, source.target_kind, device),
        "index": torch.from_numpy(places).to(device),
    }
