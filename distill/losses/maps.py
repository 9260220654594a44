"""Losses on one-channel maps of logits, such as edges or a mask.

Shapes: B images of H by W pixels. All return the mean over the pixels of the batch, in float32 or wider.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.losses.checks import check_pos_weight, check_same_shape
from densedistill.distill.losses.precision import widened


def probability_mse(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean squared difference of probabilities, (σ(student) - σ(teacher))².

    The teacher's map as a soft target for independent pixels: the quadratic (Brier) score between two
    Bernoulli distributions, bounded where a cross-entropy on a confident teacher is not.

    Args:
        student_logits: (B, 1, H, W), or any one shape for both.
        teacher_logits: the same shape. Differentiable too: detach it, as the engine does.

    Returns:
        Scalar in [0, 1], dimensionless.

    Raises:
        RequestError: shapes that differ.
    """
    check_same_shape("the student's map", student_logits, "the teacher's", teacher_logits)
    return F.mse_loss(widened(student_logits).sigmoid(), widened(teacher_logits).sigmoid())


def weighted_bce(logits: Tensor, mask: Tensor, pos_weight: float = 1.0) -> Tensor:
    """Binary cross-entropy with heavier positives: -(w m log σ(x) + (1 - m) log(1 - σ(x))).

    A fixed weight w for the rare class, after the class-balanced loss of Xie and Tu, "Holistically-Nested
    Edge Detection", 2015, equation 2, whose weight follows the image instead.

    Args:
        logits: (B, 1, H, W).
        mask: the same shape, in [0, 1]; soft targets are allowed.
        pos_weight: w > 0, dimensionless.

    Returns:
        Scalar >= 0, nats.

    Raises:
        RequestError: shapes that differ, or a weight that is not above 0.
    """
    check_pos_weight(pos_weight)
    check_same_shape("the output map", logits, "the mask", mask)
    wide = widened(logits)
    weight = torch.full((), pos_weight, dtype=wide.dtype, device=wide.device)
    return F.binary_cross_entropy_with_logits(wide, mask.to(wide.dtype), pos_weight=weight)
