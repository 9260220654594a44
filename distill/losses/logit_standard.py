"""Logit standardisation: what makes a method blind to the scale of either network's logits.

Shapes: B images, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from densedistill.distill.losses.checks import ONE_CHANNEL, check_logits
from densedistill.distill.losses.precision import widened

_EPSILON = 1e-7


def standardise(logits: Tensor) -> Tensor:
    """Logits with mean 0 and standard deviation 1 in each row.

    Sun, Ren, Li, Wang and Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024, algorithm 1 (the
    temperature, which it divides by as well, is the loss's own). Apply it to both networks' logits before
    `kd_loss` or `dkd_loss` (algorithm 2; `mlkd_loss` takes them for its first level alone); the paper then takes T = 2
    and a weight of 9 on CIFAR-100.
    The standard deviation is the unbiased one, over K - 1, with 1e-7 added, as in the authors' code.

    Args:
        logits: (B, K), K >= 2, of either network.

    Returns:
        (B, K) in float32 or wider, dimensionless. Where all logits of a row are equal they become 0, with the
        gradient that a standard deviation of 1 would give: a zero-initialised classifier starts there.

    Raises:
        RequestError: not (B, K), or fewer than two classes.
    """
    check_logits(logits, 2, ONE_CHANNEL)
    wide_BK = widened(logits)
    centred_BK = wide_BK - wide_BK.mean(dim=1, keepdim=True)
    deviation_B1 = wide_BK.std(dim=1, keepdim=True)
    return centred_BK / torch.where(deviation_B1 > 0, deviation_B1 + _EPSILON, 1.0)
