"""A batch in parts that fit in memory, each with its share of the loss."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from densedistill.distill.outputs import Batch, Prediction


@dataclass(frozen=True, slots=True)
class Piece:
    """Some images of a batch, with the teacher's answer to them."""

    batch: Batch
    taught: Prediction | None
    share: float
    """Its images over the batch's: what its mean loss counts in the batch's mean."""
    last: bool

    @property
    def whole(self) -> bool:
        """Whether this is the batch itself."""
        return self.share == 1.0


def pieces(batch: Batch, taught: Prediction | None, most: int | None) -> Iterator[Piece]:
    """`batch` in as few parts of nearly equal size as hold at most `most` images each; None: in one.

    A loss that is a mean over images has the same gradient either way. One that compares the images of a batch with
    each other sees only a part's, and batch-norm measures the parts.
    """
    count = len(batch["input"])
    if most is None or count <= most:
        yield Piece(batch, taught, 1.0, last=True)
        return
    parts = -(-count // most)
    bounds = [count * part // parts for part in range(parts + 1)]
    for start, stop in itertools.pairwise(bounds):
        yield Piece(
            {key: value[start:stop] for key, value in batch.items()},
            None if taught is None else taken(taught, start, stop),
            (stop - start) / count,
            last=stop == count,
        )


def smallest_piece(count: int, most: int | None) -> int:
    """Images in the smallest of the parts that `pieces` makes of a batch of `count`."""
    return count if most is None or count <= most else count // -(-count // most)


def taken(prediction: Prediction, start: int, stop: int) -> Prediction:
    """The prediction for the images from `start` to `stop`."""

    def part(tensor: Tensor) -> Tensor:
        return tensor[start:stop]

    return Prediction(
        output=part(prediction.output), taps={path: part(feature) for path, feature in prediction.taps.items()}
    )
