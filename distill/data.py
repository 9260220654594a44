"""What the engine asks of a data set; `densedistill.datasets` satisfies it by structure, without an import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from densedistill.distill.outputs import Batch


class BatchPlan(Protocol):
    """Which images make up one batch, and which view of each."""

    @property
    def images(self) -> np.ndarray:
        """(B,) int64: places in the training set."""

    @property
    def views(self) -> np.ndarray:
        """(B,) int64: a number that names the view; the same image, view and seed give the same pixels."""

    @property
    def named(self) -> bool:
        """Whether mixing belongs to each view, so that its pixels are the same whatever its neighbours are."""


class TrainSet(Protocol):
    """Augmented views of training images; a pure function of the plan, so that any step can be repeated."""

    def __len__(self) -> int:
        """Number of distinct images."""

    def batches(self, plans: Sequence[BatchPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """One batch for each plan, in order, on `device`."""


class EvalSet(Protocol):
    """Images as they are, in a fixed order."""

    @property
    def ids(self) -> Sequence[str]:
        """A name for each image."""

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """Batches of up to `batch_size` images of one shape, in order."""


class TaskData(Protocol):
    """A data set with its fixed split."""

    @property
    def name(self) -> str: ...
    @property
    def embedded(self) -> bool: ...
    @property
    def train(self) -> TrainSet: ...
    @property
    def val(self) -> EvalSet: ...
    @property
    def tests(self) -> Mapping[str, EvalSet]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def input_mean(self) -> tuple[float, ...]: ...
    @property
    def input_std(self) -> tuple[float, ...]: ...

    def for_arm(self, generation: int, taught_by: int | None) -> TaskData:
        """The data as an arm of `generation` takes it, whose teacher is of generation `taught_by`.

        Where generation 1 takes another input than its students, these find it in `teacher_input`.
        """
