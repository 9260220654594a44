"""Test-time augmentation: the mean of the predictions for several views of each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

Views = Callable[[Tensor], Sequence[Tensor]]
"""Input (B, C, H, W) -> views of it, of the same shape; what is true of one is true of all."""


def flips(images: Tensor) -> list[Tensor]:
    """The images, and the same mirrored left to right."""
    return [images, images.flip(-1)]


def shifts(images: Tensor) -> list[Tensor]:
    """`flips` of the images, and of the images moved up, down, left and right by a sixteenth of their side.

    At least one pixel; the border's pixels are repeated where nothing is known.
    """
    height, width = images.shape[-2:]
    down, across = max(height // 16, 1), max(width // 16, 1)
    padded = pad(images, (across, across, down, down), mode="replicate")
    corners = ((down, across), (0, across), (2 * down, across), (down, 0), (down, 2 * across))
    moved = [padded[..., top : top + height, left : left + width] for top, left in corners]
    return [view for images in moved for view in flips(images)]


def averaged(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    views: Views,
    predict: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor],
    finish: Callable[[Tensor], Tensor],
) -> Tensor:
    """The mean of the finished predictions, such as probabilities, for every view.

    Args:
        network: input -> raw output.
        images: (B, C, H, W), the network's input.
        views: what is averaged over.
        predict: (network, input) -> raw output.
        finish: raw output -> finished prediction.
    """
    finished = [finish(predict(network, view).float()) for view in views(images)]
    return torch.stack(finished).mean(dim=0)
