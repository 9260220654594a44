"""Some images of an evaluation set, held so that they can be asked about several times."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from densedistill.distill.data import EvalSet
from densedistill.distill.doctor.limits import Limits
from densedistill.distill.outputs import Batch

BATCH = 32
LARGEST_BATCH_PIXELS = 2_000_000
"""Whole images can be large: as many come at once as have this many pixels together."""
READ_SHARE = 0.3
"""Of the time that is left, what reading them may take."""


class HeldImages:
    """At most `count` images of a set, drawn at random: sets may be sorted by class or have their classes in turn."""

    def __init__(self, images: EvalSet, count: int, limits: Limits | None = None) -> None:
        """Read them from `images`, for `READ_SHARE` of the time that `limits` leave at most."""
        self.of = len(images.ids)
        """Images in the whole set."""
        self._singles: list[dict[str, Tensor]] = []
        drawn = torch.randperm(self.of, generator=torch.Generator().manual_seed(0))[:count].sort().values.tolist()
        wanted, seen = set(drawn), 0
        for batch in (limits or Limits()).within(images.batches(BATCH, device=torch.device("cpu")), READ_SHARE):
            here = len(batch["input"])
            chosen = [place for place in range(here) if seen + place in wanted]
            self._singles += [{key: value[place].clone() for key, value in batch.items()} for place in chosen]
            seen += here
        self.complete = seen == self.of
        """Whether the time was enough. What was read of a sorted set by then is no sample of it."""
        self._ids = tuple(images.ids[place] for place in drawn[: len(self._singles)])

    @property
    def ids(self) -> Sequence[str]:
        """A name for each image."""
        return self._ids

    @property
    def pixels(self) -> int:
        """Of all inputs together."""
        return sum(single["input"].shape[-1] * single["input"].shape[-2] for single in self._singles)

    def fewer(self, count: int) -> HeldImages:
        """Some `count` of them, drawn at random; all, if there are no more."""
        some = copy.copy(self)
        places = torch.randperm(len(self._ids), generator=torch.Generator().manual_seed(1))[:count].sort().values
        some._ids = tuple(self._ids[place] for place in places)
        some._singles = [self._singles[place] for place in places]
        return some

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """Batches of up to `batch_size` images of one shape, in order."""
        batch: list[dict[str, Tensor]] = []
        for single in self._singles:
            pixels = single["input"].shape[-1] * single["input"].shape[-2] * (len(batch) + 1)
            full = len(batch) == batch_size or pixels > LARGEST_BATCH_PIXELS
            if batch and (full or _shapes(single) != _shapes(batch[0])):
                yield _joined(batch, device)
                batch = []
            batch.append(single)
        if batch:
            yield _joined(batch, device)


def _shapes(single: dict[str, Tensor]) -> list[torch.Size]:
    return [value.shape for value in single.values()]


def _joined(batch: Sequence[dict[str, Tensor]], device: torch.device) -> Batch:
    return {key: torch.stack([single[key] for single in batch]).to(device) for key in batch[0]}
