"""The shapes every data set here has: train views, evaluation images, and a fixed split of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Batch = dict[str, Tensor]
"""`input` (B, C, H, W) float32, normalised as the network expects; `target`; `index` (B,) int64 place in the set.

Mixed labels add `mixed_target` (B,) int64 and `mix` (B,) float32 in [0, 1], the share of `target`. A teacher whose
input is of another size finds the same views in `teacher_input`.
"""


class DataError(ValueError):
    """Data that cannot be used: what was looked for, where, and how to get or mend it. One sentence."""


class ViewPlan(Protocol):
    """Which images make up one batch, and which view of each. Whoever trains brings their own."""

    @property
    def images(self) -> np.ndarray:
        """(B,) int64, places in the training set."""
        ...

    @property
    def views(self) -> np.ndarray:
        """(B,) int64; the same image, view and seed always give the same pixels, before they are mixed."""
        ...

    @property
    def named(self) -> bool:
        """Whether mixing belongs to each view, so that its pixels and targets are the same in any batch."""
        ...


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """A `ViewPlan` for callers without one of their own."""

    images: np.ndarray
    views: np.ndarray
    named: bool = False


class TrainSet(Protocol):
    """Augmented views; a pure function of (plan, seed)."""

    def __len__(self) -> int: ...

    def batches(self, plans: Sequence[ViewPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """One batch for each plan, in order, on `device`."""
        ...


class EvalSet(Protocol):
    """Images as they are, in a fixed order."""

    @property
    def ids(self) -> Sequence[str]: ...

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """Batches of up to `batch_size` images of one shape, in order."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskData:
    """A data set with its fixed, recorded split."""

    name: str
    train: TrainSet
    val: EvalSet
    tests: Mapping[str, EvalSet]
    """Test sets by name; the first is the main one."""
    fingerprint: str
    """`sha256:...` over the files or arrays the splits were made from, and over the split itself."""
    embedded: bool = False
    """True for data made from images that ship inside a dependency: named next to every number."""
    notes: tuple[str, ...] = ()
    """What a reader of a figure must know (`JPEG re-encoding`, the consensus rule, the degradation)."""
    classes: tuple[str, ...] = ()
    input_mean: tuple[float, ...] = field(default=(0.0, 0.0, 0.0))
    input_std: tuple[float, ...] = field(default=(1.0, 1.0, 1.0))
    """`input` = (pixel in [0, 1] - mean) / std."""
    teacher: TaskData | None = None
    """The same images as generation 1 takes them, where its input is not its students'."""
    taught: TaskData | None = None
    """The same images as students of generation 1 take them then: with `teacher_input` in the training batches."""

    def for_arm(self, generation: int, taught_by: int | None) -> TaskData:
        """The data as an arm of `generation` takes it, whose teacher is of generation `taught_by`."""
        if generation == 1:
            return self.teacher or self
        return (self.taught or self) if taught_by == 1 else self
