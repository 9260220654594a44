"""Labelled images held as one uint8 tensor: batches are gathered, augmented and normalised on the device.

Sizes: N images in the set, B in a batch, S the input size in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from densedistill.datasets.augment import ClassificationAugmentation, augment
from densedistill.datasets.base import Batch, ViewPlan
from densedistill.datasets.erasing import erase
from densedistill.datasets.mixing import mix_batch
from densedistill.datasets.view_mixing import ViewMixes, draw_mixes, mix_views


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """Mean and standard deviation per channel, of pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the network's input."""
        mean = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        return (images - mean) / std


def measure(pixels: Tensor) -> Normalisation:
    """Mean and standard deviation per channel over all of (N, 3, H, W) uint8, rounded to four decimals."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in pixels.unbind(1):
        # A histogram is exact and needs no float copy of the set.
        shares = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        center = (shares * levels).sum()
        mean.append(round(center.item(), 4))
        std.append(round((shares * (levels - center).square()).sum().sqrt().item(), 4))
    return Normalisation(mean=tuple(mean), std=tuple(std))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """What every batch of a training set goes through, however its images are held."""

    augmentation: ClassificationAugmentation
    normalisation: Normalisation

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
        """Normalise, erase, attach labels and mix.

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
            return mix_views(batch, inputs[count:], labels[count:], mixes)
        return mix_batch(
            batch,
            plan,
            mixup=self.augmentation.mixup,
            cutmix=self.augmentation.cutmix,
            probability=self.augmentation.mix_probability,
            seed=seed,
        )


class MemoryTrainSet:
    """Augmented views of images held in memory; a pure function of (plan, seed)."""

    def __init__(self, pixels: Tensor, labels: np.ndarray, options: TrainingOptions) -> None:
        """Take (N, 3, S, S) uint8 pixels and (N,) int64 labels."""
        self.pixels = pixels
        self.labels = torch.from_numpy(labels)
        self.options = options

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, plans: Sequence[ViewPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """One batch for each plan, in order; the uint8 set moves to `device` once and stays there."""
        self.pixels, self.labels = self.pixels.to(device), self.labels.to(device)
        for plan in plans:
            mixes = self.options.mixes(plan, len(self), seed=seed)
            whole = mixes.joined(plan)
            places = torch.from_numpy(whole.images).to(device)
            views = augment(self.pixels[places], whole, self.options.augmentation, seed=seed)
            yield self.options.finish(views, self.labels[places], plan, mixes, seed=seed)


class MemoryEvalSet:
    """Images as they are, in a fixed order, held in memory."""

    def __init__(self, pixels: Tensor, labels: np.ndarray, ids: Sequence[str], normalisation: Normalisation) -> None:
        """Take (N, 3, S, S) uint8 pixels, (N,) int64 labels and N names."""
        self.pixels = pixels
        self.labels = torch.from_numpy(labels)
        self._ids = tuple(ids)
        self.normalisation = normalisation

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
                "input": self.normalisation.apply(images),
                "target": self.labels[start:stop].to(device),
                "index": torch.arange(start, stop, device=device),
            }
