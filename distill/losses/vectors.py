"""One vector for each image: from a feature of any shape, and at unit length.

Shapes: B images, C channels, H by W positions, L tokens, D values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.precision import widened


def flattened(feature: Tensor) -> Tensor:
    """All values of each image, (B, ...) to (B, D), in float32 or wider."""
    return widened(feature).flatten(start_dim=1)


def pooled(feature: Tensor) -> Tensor:
    """Channel means, in float32 or wider: (B, C, H, W) or (B, L, C) to (B, C); (B, C) stays as it is.

    Raises:
        RequestError: none of these shapes.
    """
    if feature.ndim == 4:
        return widened(feature).mean(dim=(2, 3))
    if feature.ndim == 3:
        return widened(feature).mean(dim=1)
    if feature.ndim == 2:
        return widened(feature)
    raise RequestError(
        f"a tapped feature has shape {tuple(feature.shape)}: tap a layer that gives a map (B, C, H, W), "
        "tokens (B, L, C) or one vector (B, C)"
    )


def unit(vectors: Tensor) -> Tensor:
    """Vectors along the last axis at length 1; a zero vector stays zero.

    Its gradient there is that of a vector of length 1: dividing by a small constant instead multiplies the
    gradient of a dead feature by that constant's inverse.
    """
    squared = vectors.square().sum(dim=-1, keepdim=True)
    return vectors * torch.where(squared > 0, squared, 1.0).rsqrt()
