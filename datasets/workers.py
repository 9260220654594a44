"""Labelled images too large for memory: worker processes decode them and fit them to a square.

All that follows happens to whole batches on the device, as it does to images in memory: a view has the same pixels
either way. Partners from outside the batch, with which named views are mixed, are decoded with it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from densedistill.datasets.augment import augment
from densedistill.datasets.base import Batch, DataError, ViewPlan
from densedistill.datasets.decoding import fit
from densedistill.datasets.labelled import LabelledImages
from densedistill.datasets.memory import TrainingOptions
from densedistill.datasets.normalisation import Normalisation
from densedistill.datasets.resizing import resized
from densedistill.datasets.worker_loading import load_in_workers


class WorkerTrainSet:
    """Augmented views of images decoded by worker processes; a pure function of (plan, seed)."""

    def __init__(self, images: LabelledImages, size: int, options: TrainingOptions, workers: int) -> None:
        """Take the images, the side they are fitted to, and the number of processes (0: this one)."""
        self.images = images
        self.labels = torch.from_numpy(images.labels)
        self.size = size
        self.options = options
        self.workers = workers

    def __len__(self) -> int:
        return len(self.images)

    def plain(self, place: int) -> Tensor:
        """Image `place` as it is, before any augmentation: (3, size, size) uint8; DataError where it cannot be read."""
        return fit(self.images.images.read(place), self.size)

    def at(self, *, input_size: int, teacher_size: int | None = None) -> WorkerTrainSet:
        """The same views at other sizes."""
        other = copy.copy(self)
        other.options = self.options.at(input_size, teacher_size)
        return other

    def batches(self, plans: Sequence[ViewPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """One batch for each plan, in order, on `device`.

        Raises:
            DataError: an image cannot be read; the message names it.
        """
        fitted = FittedImages(self.images, self.size)
        # A generator: the places of a large set's whole epoch would fill memory.
        wanted = (self.options.mixes(plan, len(self), seed=seed).joined(plan).images.tolist() for plan in plans)
        for plan, pixels in zip(plans, load_in_workers(fitted, wanted, self.workers, torch.stack), strict=True):
            mixes = self.options.mixes(plan, len(self), seed=seed)
            whole = mixes.joined(plan)
            labels = self.labels[torch.from_numpy(whole.images)].to(device)
            views = augment(pixels.to(device, non_blocking=True), whole, self.options.augmentation, seed=seed)
            yield self.options.finish(views, labels, plan, mixes, seed=seed)


class WorkerEvalSet:
    """Images as they are, in a fixed order, decoded by worker processes."""

    def __init__(
        self,
        images: LabelledImages,
        size: int,
        normalisation: Normalisation,
        workers: int,
        input_size: int | None = None,
    ) -> None:
        """Take the images, the side they are fitted to, the number of processes (0: this one), and `input`'s side."""
        self.images = images
        self.labels = torch.from_numpy(images.labels)
        self.size = size
        self.normalisation = normalisation
        self.workers = workers
        self.input_size = input_size or size

    @property
    def ids(self) -> Sequence[str]:
        """A name for each image."""
        return self.images.ids

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """Batches of up to `batch_size` images, in order; DataError names an image that cannot be read."""
        places = torch.arange(len(self.images))
        chunks = torch.split(places, batch_size)
        wanted = [chunk.tolist() for chunk in chunks]
        fitted = FittedImages(self.images, self.size)
        for chunk, pixels in zip(chunks, load_in_workers(fitted, wanted, self.workers, torch.stack), strict=True):
            inputs = self.normalisation.apply(pixels.to(device).float() / 255)
            yield {
                "input": resized(inputs, self.input_size, self.normalisation),
                "target": self.labels[chunk].to(device),
                "index": chunk.to(device),
            }


@dataclass(frozen=True)
class FittedImages(Dataset[Tensor | str]):
    """Images by place: (3, S, S) uint8, or the message of the DataError that reading one raised.

    The error travels as a value: a DataLoader would wrap an exception's message in a worker's traceback.
    """

    images: LabelledImages
    size: int

    def __getitem__(self, place: int) -> Tensor | str:
        try:
            return fit(self.images.images.read(place), self.size)
        except DataError as error:
            return str(error)
