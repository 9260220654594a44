"""Dice as a loss.

Shapes: B images of H by W pixels.
"""

from __future__ import annotations

from torch import Tensor

from densedistill.distill.losses.checks import check_same_shape
from densedistill.distill.losses.precision import widened

SMOOTHING = 1.0
"""Pixels added above and below the fraction: an image without positives then has a Dice, of 1 where none is said."""


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of probabilities, 2 Σ p t / (Σ p² + Σ t²) over an image's pixels, mean over the batch.

    Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, arXiv:1606.04797, section 3; for boundaries Deng, Shen, Liu, Wang
    and Liu, "Learning to Predict Crisp Boundaries", ECCV 2018, arXiv:1807.10097 (its inverse). It looks at an image's
    positives together, so that their rarity does not matter and thick boundaries cost.

    Args:
        logits: (B, 1, H, W), or any one shape for both with images first.
        target: the same shape, in [0, 1]: a mask, or a teacher's probabilities.

    Returns:
        Scalar in [0, 1], dimensionless; 0 where both are equal.

    Raises:
        RequestError: shapes that differ.
    """
    check_same_shape("the output map", logits, "the target", target)
    probability, wanted = widened(logits).sigmoid().flatten(1), widened(target).flatten(1)
    both = (probability * wanted).sum(dim=1)
    total = probability.square().sum(dim=1) + wanted.square().sum(dim=1)
    return 1 - ((2 * both + SMOOTHING) / (total + SMOOTHING)).mean()
