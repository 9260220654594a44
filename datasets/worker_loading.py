"""Batches made by worker processes, with errors that keep their sentence on the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from densedistill.datasets.base import DataError

Sample = TypeVar("Sample")
Stacked = TypeVar("Stacked")


@dataclass(frozen=True)
class _Collate(Generic[Sample, Stacked]):
    """The stacked samples, or the first error among them. A class, since workers started by spawn must unpickle it."""

    stack: Callable[[list[Sample]], Stacked]

    def __call__(self, samples: Sequence[Sample | str]) -> Stacked | str:
        good: list[Sample] = []
        for sample in samples:
            if isinstance(sample, str):
                return sample
            good.append(sample)
        return self.stack(good)


def load_in_workers(
    samples: Dataset[Sample | str],
    wanted: Iterable[list[Any]],
    workers: int,
    stack: Callable[[list[Sample]], Stacked],
) -> Iterator[Stacked]:
    """`stack` of the samples at each list of keys, in order. A sample that is text is an error's sentence.

    Raises:
        DataError: with that sentence.
    """
    loader: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=wanted,
        num_workers=workers,
        collate_fn=_Collate(stack),
        # A loader draws a seed for its workers: not from the generator that the networks' dropout draws from.
        generator=torch.Generator().manual_seed(0),
    )
    for batch in loader:
        if isinstance(batch, str):
            raise DataError(batch)
        yield batch
