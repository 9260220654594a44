"""Whole images of any size for networks that halve them several times."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

MULTIPLE = 32
"""U-Nets and FPNs with five stages halve the input five times."""


def predict(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Logits (B, K, H, W) of whole images: padded below and to the right by reflection, and cropped back.

    To multiples of the network's `size_multiple` where it says one: a published network that takes any size answers as
    it does for its authors.
    """
    height, width = images.shape[-2:]
    multiple = int(getattr(network, "size_multiple", MULTIPLE))
    below, right = -height % multiple, -width % multiple
    mode = "reflect" if below < height and right < width else "replicate"
    logits = network(F.pad(images, (0, right, 0, below), mode=mode) if below or right else images)
    return logits[..., :height, :width]
