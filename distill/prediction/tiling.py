"""Large images in tiles whose seams nobody sees.

A tile reaches beyond its own part of the image, so that what it predicts there has seen the surroundings. The outermost
three quarters of that reach are thrown away; around the border of two tiles' own parts their predictions fade into each
other. Where a network sees no further than what is thrown away, all this changes nothing but the last bits: both
neighbours predict the same. Where it sees further (deep U-Nets, windows of attention, channel attention over the whole
image), neighbours differ a little, and the fade leaves no edge.

Shape suffixes: B batch, C channels, H and W in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from densedistill.distill.errors import RequestError

ALIGNMENT = 32
"""Tiles begin at multiples of this many pixels: what five halvings, and windows of up to 32 pixels, see as they see it
in the whole image."""

Network = Callable[[Tensor], Tensor]
Predict = Callable[[Network, Tensor], Tensor]
"""(network, input (B, C, H, W)) -> prediction (B, K, H', W'), as `TaskSpec.predict`."""


@dataclass(frozen=True, slots=True)
class Span:
    """A tile along one side of the image, in input pixels."""

    start: int
    stop: int
    first: int
    """The tile's own part, which no other tile has, is [first, last)."""
    last: int
    fade: int
    """Pixels around `first` and around `last` over which it and its neighbour fade into each other."""

    def __len__(self) -> int:
        return self.stop - self.start

    def shares(self, scale: int) -> Tensor:
        """(len * scale,) in [0, 1]: this tile's share of each output pixel; all tiles' shares add up to 1.

        Args:
            scale: output pixels along the side for one of the input.
        """
        places = (torch.arange(self.start * scale, self.stop * scale, dtype=torch.float32) + 0.5) / scale
        shares = torch.ones_like(places)
        if self.first > self.start:
            shares *= ((places - self.first) / self.fade + 0.5).clamp(0, 1)
        if self.last < self.stop:
            shares *= (0.5 - (places - self.last) / self.fade).clamp(0, 1)
        return shares


def spans(length: int, parts: int, reach: int) -> list[Span]:
    """A side of `length` pixels as at most `parts` tiles; fewer where a part would be shorter than `reach`.

    Args:
        length: pixels of the side.
        parts: 1 or more.
        reach: how far a tile reaches beyond its own part, a multiple of `ALIGNMENT`.
    """
    step = max(-(-length // parts), reach)
    step += -step % ALIGNMENT
    edges = [*range(0, length, step), length]
    if len(edges) > 2 and edges[-1] - edges[-2] < reach:
        del edges[-2]
    return [
        Span(max(first - reach, 0), min(last + reach, length), first, last, fade=reach // 2)
        for first, last in pairwise(edges)
    ]


def tiles(height: int, width: int, most: int, reach: int) -> list[tuple[Span, Span]]:
    """Rows and columns of the tiles of an image, none of more than `most` pixels where that can be had.

    The side on which tiles are longer is cut into more, until they are small enough or as small as `reach` allows.
    """
    lengths = (height, width)
    cut = [spans(length, 1, reach) for length in lengths]
    while True:
        longest = [max(map(len, side)) for side in cut]
        if longest[0] * longest[1] <= most:
            break
        finer = [_finer(length, side, reach) for length, side in zip(lengths, cut, strict=True)]
        axes = [axis for axis in (0, 1) if finer[axis] is not None]
        if not axes:
            break
        axis = max(axes, key=longest.__getitem__)
        cut[axis] = finer[axis] or cut[axis]
    return [(row, column) for row in cut[0] for column in cut[1]]


def _finer(length: int, cut: list[Span], reach: int) -> list[Span] | None:
    """The side with the fewest more tiles that make the longest of them shorter; None where there is no such cut."""
    longest = max(map(len, cut))
    for parts in range(len(cut) + 1, -(-length // reach) + 1):
        finer = spans(length, parts, reach)
        if max(map(len, finer)) < longest:
            return finer
    return None


def in_tiles(predict: Predict, network: Network, images: Tensor, *, most: int, reach: int) -> Tensor:
    """`predict(network, images)`, made of tiles of at most `most` input pixels each.

    Args:
        predict: makes maps of the input's size, or of a whole multiple of it.
        network: what `predict` is given.
        images: (B, C, H, W).
        most: input pixels of one tile of one image; a tile is never shorter than three times `reach`, though.
        reach: input pixels by which a tile reaches beyond its own part, a multiple of `ALIGNMENT`.

    Returns:
        (B, K, scale H, scale W), on the images' device.

    Raises:
        RequestError: the prediction is no map of the input, so its tiles cannot be put together.
    """
    height, width = images.shape[-2:]
    cut = tiles(height, width, most, reach)
    if len(cut) == 1:
        return predict(network, images)
    whole = torch.empty(0)
    for row, column in cut:
        tile = predict(network, images[..., row.start : row.stop, column.start : column.stop])
        scale = _scale(tile, len(row), len(column))
        if not whole.numel():
            whole = tile.new_zeros(*tile.shape[:2], height * scale, width * scale)
        shares = row.shares(scale)[:, None] * column.shares(scale)
        rows, columns = (slice(span.start * scale, span.stop * scale) for span in (row, column))
        whole[..., rows, columns] += tile * shares.to(tile)
    return whole


def _scale(tile: Tensor, height: int, width: int) -> int:
    scale = tile.shape[-1] // width if tile.dim() == 4 else 0
    if scale < 1 or tuple(tile.shape[-2:]) != (height * scale, width * scale):
        raise RequestError(
            f"the prediction for a tile of {width}x{height} pixels has shape {tuple(tile.shape)}, which is no map of "
            "it: images of this task cannot be cut into tiles; give smaller images."
        )
    return scale
