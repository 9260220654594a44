"""Labelled images too large for memory: worker processes decode, fit and augment them one by one.

Albumentations draws a view's crop, flip and colours from a seed that is a function of (seed, image, view), so a view
is as repeatable as in memory; its pixels are not those that `augment` would give, whose arithmetic differs.
Mixing happens on the device, as it does for images in memory; partners from outside the batch are decoded with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from densedistill.datasets.augment import ClassificationAugmentation
from densedistill.datasets.base import Batch, DataError, ViewPlan
from densedistill.datasets.decoding import fit
from densedistill.datasets.labelled import LabelledImages
from densedistill.datasets.memory import Normalisation, TrainingOptions
from densedistill.datasets.views import uniform
from densedistill.datasets.worker_loading import load_in_workers

if TYPE_CHECKING:
    from albumentations import Compose

View = tuple[int, int]
"""An image's place and the number of its view."""


class WorkerTrainSet:
    """Augmented views made by worker processes; a pure function of (plan, seed)."""

    def __init__(self, images: LabelledImages, size: int, options: TrainingOptions, workers: int) -> None:
        """Take the images, the input size in pixels, and the number of processes (0: this one)."""
        self.images = images
        self.labels = torch.from_numpy(images.labels)
        self.size = size
        self.options = options
        self.workers = workers

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, plans: Sequence[ViewPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """One batch for each plan, in order, on `device`.

        Raises:
            DataError: an image cannot be read; the message names it.
        """
        views = AugmentedViews(self.images, self.size, self.options.augmentation, seed)
        # A generator: the keys of a large set's whole epoch would fill memory.
        wanted = (_keys(self.options.mixes(plan, len(self), seed=seed).joined(plan)) for plan in plans)
        for plan, pixels in zip(plans, load_in_workers(views, wanted, self.workers, torch.stack), strict=True):
            mixes = self.options.mixes(plan, len(self), seed=seed)
            labels = self.labels[torch.from_numpy(mixes.joined(plan).images)].to(device)
            scaled = pixels.to(device, non_blocking=True).float() / 255
            yield self.options.finish(scaled, labels, plan, mixes, seed=seed)


class WorkerEvalSet:
    """Images as they are, in a fixed order, decoded by worker processes."""

    def __init__(self, images: LabelledImages, size: int, normalisation: Normalisation, workers: int) -> None:
        """Take the images, the input size in pixels, and the number of processes (0: this one)."""
        self.images = images
        self.labels = torch.from_numpy(images.labels)
        self.size = size
        self.normalisation = normalisation
        self.workers = workers

    @property
    def ids(self) -> Sequence[str]:
        """A name for each image."""
        return self.images.ids

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """Batches of up to `batch_size` images, in order; DataError names an image that cannot be read."""
        places = torch.arange(len(self.images))
        chunks = torch.split(places, batch_size)
        wanted = [[(place, 0) for place in chunk.tolist()] for chunk in chunks]
        plain = AugmentedViews(self.images, self.size, augmentation=None, seed=0)
        for chunk, pixels in zip(chunks, load_in_workers(plain, wanted, self.workers, torch.stack), strict=True):
            yield {
                "input": self.normalisation.apply(pixels.to(device).float() / 255),
                "target": self.labels[chunk].to(device),
                "index": chunk.to(device),
            }


def _keys(plan: ViewPlan) -> list[View]:
    return list(zip(plan.images.tolist(), plan.views.tolist(), strict=True))


@dataclass
class AugmentedViews(Dataset[Tensor | str]):
    """Views by (image, view): (3, S, S) uint8, or the message of the DataError that reading it raised.

    The error travels as a value: a DataLoader would wrap an exception's message in a worker's traceback.
    """

    images: LabelledImages
    size: int
    augmentation: ClassificationAugmentation | None
    seed: int

    @cached_property
    def _pipeline(self) -> Compose | None:
        return None if self.augmentation is None else build_pipeline(self.augmentation, self.size)

    def __getitem__(self, view: View) -> Tensor | str:
        try:
            image = fit(self.images.images.read(view[0]), self.size)
        except DataError as error:
            return str(error)
        if self._pipeline is None:
            return image
        number = uniform(self.seed, np.array([view[0]]), np.array([view[1]]), "albumentations")[0, 0]
        self._pipeline.set_random_seed(int(number * 2**32))
        pixels = self._pipeline(image=np.ascontiguousarray(image.permute(1, 2, 0).numpy()))["image"]
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def build_pipeline(options: ClassificationAugmentation, size: int) -> Compose:
    """Albumentations' crop, flip and colour jitter at the strengths of `options`, for (size, size, 3) uint8."""
    # Albumentations asks the package index for its latest version when imported, and warns where it cannot.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations as A

    steps: list[A.BasicTransform] = []
    if options.crop_padding:
        steps += [A.Pad(padding=options.crop_padding, fill=0), A.RandomCrop(height=size, width=size)]
    if options.flip:
        steps.append(A.HorizontalFlip(p=0.5))
    if (jitter := options.color_jitter) is not None:
        steps.append(
            A.ColorJitter(
                brightness=(1 - jitter.brightness, 1 + jitter.brightness),
                contrast=(1 - jitter.contrast, 1 + jitter.contrast),
                saturation=(1 - jitter.saturation, 1 + jitter.saturation),
                hue=(-jitter.hue, jitter.hue),
                p=1,
            )
        )
    return A.Compose(steps)
