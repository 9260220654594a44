"""Aligned pairs of images on disk or in memory, and the choice between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from densedistill.datasets.dense import Size

Planes = tuple[np.ndarray, np.ndarray]
"""An input (C, H, W) and its target (K, scale x H, scale x W), both uint8."""


class PairFiles(Protocol):
    """Pairs that are read on request; small and picklable, so that worker processes can have one each."""

    @property
    def sizes(self) -> Sequence[Size]:
        """The size of every input, known from the files' headers."""
        ...

    @property
    def held_bytes(self) -> int:
        """Bytes that all pairs would take in memory."""
        ...

    def read(self, place: int) -> Planes:
        """A whole pair.

        Raises:
            DataError: a file cannot be read; the message names it.
        """
        ...

    def read_window(self, place: int, top: int, left: int, side: int) -> Planes:
        """What `read` gives, seen through a square of `side` pixels of the input at (top, left); errors as `read`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldPairs:
    """Pairs in memory."""

    inputs: Sequence[np.ndarray]
    """(C, H, W) uint8 each."""
    targets: Sequence[np.ndarray]
    """(K, scale x H, scale x W) uint8 each."""


Pairs = HeldPairs | PairFiles


def held(files: PairFiles) -> HeldPairs:
    """All pairs of `files`, read; DataError names a file that cannot be."""
    pairs = [files.read(place) for place in range(len(files.sizes))]
    return HeldPairs(inputs=[source for source, _ in pairs], targets=[target for _, target in pairs])


def held_where_they_fit(parts: Mapping[str, PairFiles], budget_mb: int) -> tuple[Mapping[str, Pairs], tuple[str, ...]]:
    """The pairs of all parts in memory where together they take at most `budget_mb` MiB, else as they are.

    Returns:
        The pairs by part, and a note for the reader where they stay on disk.

    Raises:
        DataError: a file to be held cannot be read.
    """
    total = sum(files.held_bytes for files in parts.values())
    if total <= budget_mb * 2**20:
        return {part: held(files) for part, files in parts.items()}, ()
    size = f"{total / 2**20:.1f} MiB of pixels exceed the memory budget of {budget_mb} MiB"
    return parts, (f"images are read from disk whenever they are seen: {size} (memory_budget_mb)",)
