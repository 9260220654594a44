"""One view at several sizes, for a teacher whose input is of another size than its student's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from densedistill.datasets.normalisation import Normalisation


def resized(inputs: Tensor, size: int | None, normalisation: Normalisation) -> Tensor:
    """Antialiased bicubic interpolation, without the overshoot beyond black and white.

    Args:
        inputs: (B, C, H, H) float, normalised.
        size: height and width of the result, in pixels; None: as they are.
        normalisation: what was applied to the pixels.
    """
    if size is None or inputs.shape[-1] == size:
        return inputs
    black, white = (normalisation.apply(torch.full_like(inputs[:1, :, :1, :1], level)) for level in (0.0, 1.0))
    return interpolate(inputs, size=(size, size), mode="bicubic", antialias=True).clamp(black, white)
