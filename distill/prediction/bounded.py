"""Predictions in bounded memory: batches in parts, and images too large even alone in tiles."""

from __future__ import annotations

import weakref
from functools import partial

import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.prediction.footprint import bytes_per_pixel
from densedistill.distill.prediction.tiling import Network, Predict, in_tiles
from densedistill.distill.spec import TaskSpec

BUDGET = {"cpu": 3 * 2**28, "cuda": 2**31}
"""Bytes for a prediction on the way, by kind of device. Constant, and not what happens to be free: the size of tiles
shows in the last bits of a prediction, and a figure is to be repeated. An operator's own memory comes on top, up to as
much again (see `footprint`)."""

UNMEASURED = 2**14
"""Pixels of a batch below which nothing can go wrong, so that nothing is measured."""


class Bounded:
    """A task's `predict` that takes a batch in parts and a large image in tiles; what fits is predicted as it is.

    It is called as `TaskSpec.predict` is, so that evaluation and application can stand it in for that.

    Args:
        predict: what is bounded.
        reach: pixels by which a tile reaches beyond its own part, a multiple of `tiling.ALIGNMENT`.
        most: pixels that are predicted at once. None: as many as `BUDGET` has room for, by a measurement of each
            network.
    """

    def __init__(self, predict: Predict, *, reach: int, most: int | None = None) -> None:
        self.predict, self.reach, self.most = predict, reach, most
        self._measured: weakref.WeakKeyDictionary[Network, int] = weakref.WeakKeyDictionary()

    def __call__(self, network: Network, images: Tensor) -> Tensor:
        """`predict(network, images)`; raises what `in_tiles` and `predict` raise."""
        count, pixels = len(images), images.shape[-2] * images.shape[-1]
        if count * pixels <= UNMEASURED and self.most is None:
            return self.predict(network, images)
        most = self._most(network, images)
        if count * pixels <= most:
            return self.predict(network, images)
        parts = torch.split(images, max(most // pixels, 1))
        return torch.cat([self._part(network, part, most) for part in parts])

    def _part(self, network: Network, images: Tensor, most: int) -> Tensor:
        if images.shape[-2] * images.shape[-1] <= most:
            return self.predict(network, images)
        return in_tiles(self.predict, network, images, most=most, reach=self.reach)

    def _most(self, network: Network, images: Tensor) -> int:
        """Pixels at once."""
        if self.most is not None:
            return self.most
        if network not in self._measured:
            budget = BUDGET.get(images.device.type, BUDGET["cpu"])
            self._measured[network] = int(budget / bytes_per_pixel(partial(self.predict, network), images))
        return self._measured[network]


def bounded(spec: TaskSpec) -> Predict:
    """A task's `predict` in bounded memory where it is given whole images; images of one size came with their batch."""
    return Bounded(spec.predict, reach=spec.application.reach) if spec.application.view is None else spec.predict


def pixels_of_tile(side: int, reach: int) -> int:
    """Pixels of a tile of `side` by `side` pixels.

    Raises:
        RequestError: the tile would be too small to reach beyond a part of its own.
    """
    smallest = 3 * reach
    if side < smallest:
        raise RequestError(
            f"tile {side} is too small: a tile reaches {reach} pixels beyond its own part on either side, so give "
            f"{smallest} or more, or auto."
        )
    return side * side
