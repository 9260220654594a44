"""Where boundaries are, and how much more their neighbourhood counts.

Shapes: B images of H by W pixels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.checks import check_weight
from densedistill.distill.losses.precision import widened

_REACH = 3
"""Standard deviations after which a boundary is forgotten: 1 % of its height is left there."""


@torch.no_grad()
def boundary_weight(boundary: Tensor, width: float, strength: float) -> Tensor:
    """A weight for each pixel, 1 + strength·exp(-d² / (2·width²)), d being its distance to the nearest boundary.

    After Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015, arXiv:1505.04597, equation 2, with one distance where the
    paper adds those to two cells. Of soft boundaries the largest b·exp(-d² / (2·width²)) counts.

    Args:
        boundary: (B, 1, H, W) in [0, 1].
        width: in pixels, > 0; from three of them on the weight is 1.
        strength: >= 0, dimensionless: what a boundary's own pixels have more.

    Returns:
        (B, 1, H, W) in [1, 1 + strength], float32 or wider.

    Raises:
        RequestError: a width that is not above 0, or a negative strength.
    """
    if not (math.isfinite(width) and width > 0):
        raise RequestError(f"boundary_width {width} is no distance: give a number of pixels above 0, such as 3")
    check_weight("boundary_strength", strength)
    reach = math.ceil(_REACH * width)
    # The largest product over a square window is that of its rows and columns: exp turns the sum of squares into one.
    near = _largest(_largest(widened(boundary), width, reach, dim=3), width, reach, dim=2)
    return 1 + strength * near


def label_boundaries(labels: Tensor, ignored: int | None = None) -> Tensor:
    """Pixels with another label above, below, left or right of them, as a mask (B, 1, H, W) float32 of 0 and 1.

    Args:
        labels: (B, H, W) whole numbers.
        ignored: a label that bounds nothing, such as that of pixels without one.
    """
    boundary = torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
    for dim in (1, 2):
        count = labels.shape[dim] - 1
        first, second = labels.narrow(dim, 0, count), labels.narrow(dim, 1, count)
        differ = first != second
        if ignored is not None:
            differ &= (first != ignored) & (second != ignored)
        boundary.narrow(dim, 0, count).logical_or_(differ)
        boundary.narrow(dim, 1, count).logical_or_(differ)
    return boundary[:, None].float()


def _largest(values: Tensor, width: float, reach: int, dim: int) -> Tensor:
    """max over offsets o along `dim` of exp(-o² / (2·width²)) times the value there."""
    length = values.shape[dim]
    padding = (reach, reach) if dim == 3 else (0, 0, reach, reach)
    padded = F.pad(values, padding)
    best = values
    for offset in range(1, reach + 1):
        share = math.exp(-(offset**2) / (2 * width**2))
        sides = torch.maximum(padded.narrow(dim, reach - offset, length), padded.narrow(dim, reach + offset, length))
        best = torch.maximum(best, share * sides)
    return best
