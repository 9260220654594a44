"""Labelled images before any tensor is made of them: where they lie, which class each has, and how they are split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from densedistill.datasets.base import DataError
from densedistill.datasets.decoding import decode, read_bytes
from densedistill.datasets.naming import Names, chosen
from densedistill.datasets.views import uniform


class ImageReader(Protocol):
    """Images by place, decoded on request."""

    def __len__(self) -> int: ...

    def read(self, place: int) -> Tensor:
        """(3, H, W) uint8 RGB.

        Raises:
            DataError: the image cannot be decoded; the message names it.
        """
        ...

    def select(self, places: np.ndarray) -> Self:
        """The images at `places`, in that order."""
        ...


@dataclass(frozen=True, slots=True)
class PixelImages:
    """Images that are pixels already."""

    pixels: Tensor
    """(N, 3, H, W) uint8 RGB."""

    def __len__(self) -> int:
        return self.pixels.shape[0]

    def read(self, place: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return self.pixels[place]

    def select(self, places: np.ndarray) -> PixelImages:
        """The images at `places`, in that order."""
        return PixelImages(self.pixels[torch.from_numpy(places)])


@dataclass(frozen=True, slots=True)
class EncodedImages:
    """Encoded images held in memory, as read from an archive."""

    names: tuple[str, ...]
    """Archive and member, for messages."""
    blobs: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.blobs)

    def read(self, place: int) -> Tensor:
        """(3, H, W) uint8 RGB; DataError names the member that cannot be decoded."""
        return decode(self.blobs[place], self.names[place])

    def select(self, places: np.ndarray) -> EncodedImages:
        """The images at `places`, in that order."""
        return EncodedImages(tuple(self.names[place] for place in places), tuple(self.blobs[place] for place in places))


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Image files, read on request."""

    root: Path
    names: Names
    """Their paths from `root`."""

    def __len__(self) -> int:
        return len(self.names)

    def read(self, place: int) -> Tensor:
        """(3, H, W) uint8 RGB; DataError names the file that cannot be read or decoded."""
        path = self.root / self.names[place]
        return decode(read_bytes(path), str(path))

    def select(self, places: np.ndarray) -> ImageFiles:
        """The files at `places`, in that order."""
        return ImageFiles(self.root, self.names.select(places))


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images with their names and classes."""

    images: ImageReader
    ids: Sequence[str]
    labels: np.ndarray
    """(N,) int64, places in the list of classes."""

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.ids) == len(self.labels):
            counts = f"{len(self.images)} images, {len(self.ids)} names, {len(self.labels)} labels"
            raise ValueError(f"images, names and labels must be equally many, got {counts}")

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, places: np.ndarray) -> LabelledImages:
        """The images at `places`, in that order."""
        return LabelledImages(self.images.select(places), chosen(self.ids, places), self.labels[places])


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassificationSource:
    """A data set as its files give it, before a validation part is held out."""

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    val: LabelledImages | None = None
    """None: the data set has no validation part of its own, and one is held out of `train`."""
    tests: Mapping[str, LabelledImages]
    digest: str
    """SHA-256 (hexadecimal) over what the files hold."""
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Published mean and standard deviation per channel, of pixels in [0, 1]. None: computed from `train`."""
    embedded: bool = False
    notes: tuple[str, ...] = ()


def running_ids(split: str, count: int) -> tuple[str, ...]:
    """`train-00000`, `train-00001`, ...: names for images that have none."""
    return tuple(f"{split}-{place:05d}" for place in range(count))


def class_places(classes: Sequence[str]) -> dict[str, int]:
    """Place of each class name in the list of classes."""
    return {name: place for place, name in enumerate(classes)}


def known_class(name: str, places: Mapping[str, int], image: str) -> int:
    """Place of class `name`; DataError names the class, and the image it was met with, where training has none."""
    if name not in places:
        raise DataError(
            f"{image} is of class '{name}', which is not among the {len(places)} training classes; "
            "remove it or add the class to the training part"
        )
    return places[name]


def hold_out_per_class(labels: np.ndarray, size: int | float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split places into (kept, held out), every class in proportion; a pure function of its arguments.

    Args:
        labels: (N,) int64.
        size: number of images to hold out, or their share in (0, 1).
        seed: names the split.

    Returns:
        Two ascending (.,) int64 arrays of places. A count that does not divide evenly goes to the classes with
        the largest remainders, the first classes winning ties.

    Raises:
        DataError: nothing would be held out, or nothing would be kept.
    """
    wanted = round(size * len(labels)) if isinstance(size, float) else size
    if not 0 < wanted < len(labels):
        raise DataError(
            f"val_size {size} would hold out {wanted} of {len(labels)} training images; "
            f"give a number between 1 and {len(labels) - 1}, or a share between 0 and 1"
        )
    _, counts = np.unique(labels, return_counts=True)
    exact = counts * (wanted / len(labels))
    quota = np.floor(exact).astype(np.int64)
    remainders = np.argsort(quota - exact, kind="stable")
    quota[remainders[: wanted - int(quota.sum())]] += 1
    held = _first_of_each(_shuffled(len(labels), seed, "hold out"), labels, quota)
    kept = np.ones(len(labels), dtype=bool)
    kept[held] = False
    return np.flatnonzero(kept), held


def first_per_class(labels: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Ascending places of `limit` images of each class (all, where a class has fewer), chosen by `seed`."""
    _, counts = np.unique(labels, return_counts=True)
    return _first_of_each(_shuffled(len(labels), seed, "limit"), labels, np.minimum(counts, limit))


def _first_of_each(order: np.ndarray, labels: np.ndarray, quota: np.ndarray) -> np.ndarray:
    """Ascending places of each class's first images in `order`, `quota` of them by class in ascending order.

    By one stable sort: looking for every class in turn takes images times classes.
    """
    grouped = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(labels[grouped], return_index=True, return_counts=True)
    rank = np.arange(len(grouped)) - np.repeat(starts, counts)
    return np.sort(grouped[rank < np.repeat(quota, counts)])


def _shuffled(count: int, seed: int, stream: str) -> np.ndarray:
    """A permutation that no version of NumPy changes, unlike that of a `Generator`."""
    draws = uniform(seed, np.arange(count), np.zeros(count, dtype=np.int64), stream)[:, 0]
    return np.argsort(draws, kind="stable")
