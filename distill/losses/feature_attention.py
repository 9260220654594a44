"""Where a network looks: the energy of its features at each position.

Shapes: B images, C channels, H by W positions.
"""

from __future__ import annotations

from torch import Tensor

from densedistill.distill.losses.alignment import aligned
from densedistill.distill.losses.checks import check_exponent
from densedistill.distill.losses.vectors import unit


def attention_loss(student: Tensor, teacher: Tensor, power: float = 2.0) -> Tensor:
    """Attention transfer: mean squared difference of attention maps at unit length.

    Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, equation 2: the attention Q is the sum
    of |A|^p over channels, as one vector for each image, divided by its length. The squared difference and its mean
    over images and positions, in place of a norm, are the authors' code's, and so the field's weight of 1000 is
    meant for it.

    Args:
        student: (B, C, H, W), or tokens (B, L, C).
        teacher: (B, C', H', W'), or tokens (B, L', C'); a constant. The channels need not agree.
        power: p > 0, dimensionless; 2 in the paper.

    Returns:
        Scalar in [0, 2 / positions], dimensionless.

    Raises:
        RequestError: features that cannot be aligned, or a power that is not above 0.
    """
    check_exponent("attention's power", power)
    small_student, small_teacher = aligned(student, teacher)
    return (_attention(small_student, power) - _attention(small_teacher, power)).square().mean()


def _attention(feature: Tensor, power: float) -> Tensor:
    # A mean: the length divides the number of channels out, and a sum of many squares would lose digits before.
    return unit(feature.abs().pow(power).mean(dim=1).flatten(start_dim=1))
