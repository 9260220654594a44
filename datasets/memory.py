"""Labelled images held as one uint8 tensor: batches are gathered, augmented and normalised on the device.

Sizes: N images in the set, B in a batch, S the side of the images in pixels.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from densedistill.datasets.augment import ClassificationAugmentation, augment
from densedistill.datasets.base import Batch, ViewPlan
from densedistill.datasets.erasing import erase
from densedistill.datasets.mixing import mix_batch
from densedistill.datasets.normalisation import Normalisation
from densedistill.datasets.resizing import resized
from densedistill.datasets.view_mixing import ViewMixes, draw_mixes, mix_views


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """What every batch of a training set goes through, however its images are held."""

    augmentation: ClassificationAugmentation
    normalisation: Normalisation
    input_size: int | None = None
    """Side of `input` in pixels; None: as the views are made."""
    teacher_size: int | None = None
    """Side of `teacher_input`, the same view for the teacher; None: a batch has none."""

    def at(self, input_size: int, teacher_size: int | None) -> TrainingOptions:
        """The same views at other sizes."""
        return dataclasses.replace(self, input_size=input_size, teacher_size=teacher_size)

    @property
    def mixing(self) -> bool:
        """Whether Mixup or CutMix is on."""
        return self.augmentation.mixup is not None or self.augmentation.cutmix is not None

    def mixes(self, plan: ViewPlan, images: int, *, seed: int) -> ViewMixes:
        """Which views of a set of `images` are mixed with which; none unless views are named: then a batch mixes."""
        return draw_mixes(
            plan,
            images,
            mixup=self.augmentation.mixup,
            cutmix=self.augmentation.cutmix,
            probability=self.augmentation.mix_probability if plan.named else 0.0,
            seed=seed,
        )

    def finish(self, images: Tensor, labels: Tensor, plan: ViewPlan, mixes: ViewMixes, *, seed: int) -> Batch:
        """Normalise, erase, attach labels, mix, and resize.

        Args:
            images: (B + M, 3, S, S) in [0, 1], augmented: the plan's views, then the partners of `mixes`.
            labels: (B + M,) int64.
            plan: B images and their views.
            mixes: of the plan's views.
            seed: names the run's random numbers.
        """
        count = len(plan.images)
        index = torch.from_numpy(plan.images).to(images.device)
        inputs = self.normalisation.apply(images)
        if self.augmentation.random_erasing is not None:
            inputs = erase(inputs, mixes.joined(plan), self.augmentation.random_erasing, seed=seed)
        batch = {"input": inputs[:count], "target": labels[:count], "index": index}
        if plan.named and self.mixing:
            return self._sized(mix_views(batch, inputs[count:], labels[count:], mixes))
        mixed = mix_batch(
            batch,
            plan,
            mixup=self.augmentation.mixup,
            cutmix=self.augmentation.cutmix,
            probability=self.augmentation.mix_probability,
            seed=seed,
        )
        return self._sized(mixed)

    def _sized(self, batch: Batch) -> Batch:
        """The finished views at the student's and the teacher's size."""
        views = batch["input"]
        sized = {**batch, "input": resized(views, self.input_size, self.normalisation)}
        if self.teacher_size is not None:
            sized["teacher_input"] = resized(views, self.teacher_size, self.normalisation)
        return sized


@dataclass(slots=True)
class _Held:
    """A set's pixels, in one place for all that read them."""

    pixels: Tensor
    labels: Tensor

    def move(self, device: torch.device) -> None:
        self.pixels, self.labels = self.pixels.to(device), self.labels.to(device)


class MemoryTrainSet:
    """Augmented views of images held in memory; a pure function of (plan, seed)."""

    def __init__(self, pixels: Tensor, labels: np.ndarray, options: TrainingOptions) -> None:
        """Take (N, 3, S, S) uint8 pixels and (N,) int64 labels."""
        self._held = _Held(pixels, torch.from_numpy(labels))
        self.options = options

    @property
    def pixels(self) -> Tensor:
        """(N, 3, S, S) uint8, on the device where they were last asked for."""
        return self._held.pixels

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self._held.labels

    def __len__(self) -> int:
        return len(self.labels)

    def plain(self, place: int) -> Tensor:
        """Image `place` as it is, before any augmentation: (3, S, S) uint8."""
        return self.pixels[place]

    def at(self, *, input_size: int, teacher_size: int | None = None) -> MemoryTrainSet:
        """The same views at other sizes, of pixels that are held once."""
        other = copy.copy(self)
        other.options = self.options.at(input_size, teacher_size)
        return other

    def batches(self, plans: Sequence[ViewPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """One batch for each plan, in order; the uint8 set moves to `device` once and stays there."""
        self._held.move(device)
        for plan in plans:
            mixes = self.options.mixes(plan, len(self), seed=seed)
            whole = mixes.joined(plan)
            places = torch.from_numpy(whole.images).to(device)
            views = augment(self.pixels[places], whole, self.options.augmentation, seed=seed)
            yield self.options.finish(views, self.labels[places], plan, mixes, seed=seed)


class MemoryEvalSet:
    """Images as they are, in a fixed order, held in memory."""

    def __init__(
        self,
        pixels: Tensor,
        labels: np.ndarray,
        ids: Sequence[str],
        normalisation: Normalisation,
        input_size: int | None = None,
    ) -> None:
        """Take (N, 3, S, S) uint8 pixels, (N,) int64 labels, N names, and the side of `input` where it is not S."""
        self.pixels = pixels
        self.labels = torch.from_numpy(labels)
        self._ids = tuple(ids)
        self.normalisation = normalisation
        self.input_size: int = input_size or pixels.shape[-1]

    @property
    def ids(self) -> Sequence[str]:
        """A name for each image."""
        return self._ids

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """Batches of up to `batch_size` images, in order."""
        for start in range(0, len(self._ids), batch_size):
            stop = min(start + batch_size, len(self._ids))
            images = self.pixels[start:stop].to(device).float() / 255
            yield {
                "input": resized(self.normalisation.apply(images), self.input_size, self.normalisation),
                "target": self.labels[start:stop].to(device),
                "index": torch.arange(start, stop, device=device),
            }
