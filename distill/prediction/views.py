"""Test-time augmentation: the mean of the predictions for several views of each image.

A view of an image of classes has the image's own answer. A view of an image to be mapped or enlarged has an answer
that is turned or mirrored with it, and which the view turns back before the mean is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


def unchanged(prediction: Tensor) -> Tensor:
    """The prediction as it is: what undoes a view that has its image's own answer."""
    return prediction


@dataclass(frozen=True, slots=True)
class View:
    """One view of a batch, and the way back from its prediction to the batch's."""

    images: Tensor
    """(B, C, H', W'), what the network is given; of any size."""
    undo: Callable[[Tensor], Tensor] = unchanged
    """The view's finished prediction -> the prediction for the images themselves, of one shape for all views."""


Views = Callable[[Tensor], Sequence[View]]
"""Input (B, C, H, W) -> views of it."""


def flips(images: Tensor) -> list[View]:
    """The images, and the same mirrored left to right, for answers that a mirror leaves alone, such as classes."""
    return [View(images), View(images.flip(-1))]


def shifts(images: Tensor) -> list[View]:
    """`flips` of the images, and of the images moved up, down, left and right by a sixteenth of their side.

    At least one pixel; the border's pixels are repeated where nothing is known.
    """
    height, width = images.shape[-2:]
    down, across = max(height // 16, 1), max(width // 16, 1)
    padded = pad(images, (across, across, down, down), mode="replicate")
    corners = ((down, across), (0, across), (2 * down, across), (down, 0), (down, 2 * across))
    moved = [padded[..., top : top + height, left : left + width] for top, left in corners]
    return [view for images in moved for view in flips(images)]


def mirrors(images: Tensor) -> list[View]:
    """The images, and the same mirrored left to right, for answers that are maps: the second is mirrored back."""
    return [View(images), View(images.flip(-1), undo=lambda prediction: prediction.flip(-1))]


def dihedral(images: Tensor) -> list[View]:
    """The eight symmetries of the square: four quarter turns, each plain and mirrored; predictions are turned back.

    The geometric self-ensemble (x8) of Lim et al., "Enhanced Deep Residual Networks for Single Image
    Super-Resolution", CVPR Workshops 2017, section 4.3.
    """
    return [
        View(torch.rot90(mirrored.images, turns, (-2, -1)), undo=_turned_back(turns, mirrored.undo))
        for mirrored in mirrors(images)
        for turns in range(4)
    ]


def _turned_back(turns: int, then: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda prediction: then(torch.rot90(prediction, -turns, (-2, -1)))


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
    seen = views(images)
    total = torch.zeros(())
    for view in seen:
        # A running sum: all predictions of a large image at once would be most of the memory.
        finished = view.undo(finish(predict(network, view.images).float()))
        total = total.to(finished.device) + finished
    return total / len(seen)
