"""Gradients of losses with respect to the student's logits, image by image, in closed form.

Shapes: B images, K classes. Differences are student's logits minus teacher's. All gradients are (B, K), of the image's
own loss and not of a mean over the batch, in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densedistill.distill.losses.checks import check_labels, check_logit_pair, check_temperature

_THREE = "the non-target distribution of fewer than three classes is constant, so give three or more"


def nckd_gradient(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    temperature: float,
    mixed_target: Tensor | None = None,
    mix: Tensor | None = None,
) -> Tensor:
    """Of T² NCKD (Zhao et al. 2022, equation 7; `dkd_loss` with alpha 0 and beta 1).

    With p the softmax of logits / T over all classes but the label y, T² KL(p_t ‖ p_s) has the gradient
    T (p_s - p_t) for the other classes and 0 for y. With mixed labels it is λ of that for a and 1 - λ for b, as in
    `mixed_dkd_loss`.

    Args:
        student_logits: (B, K), K >= 3.
        teacher_logits: (B, K).
        target: (B,) int64, the labels a.
        temperature: T > 0, dimensionless.
        mixed_target: (B,) int64, the labels b; None where the batch is not mixed.
        mix: (B,) in [0, 1], λ, the share of a.

    Raises:
        RequestError: T not above 0, fewer than three classes, or shapes that do not match.
    """
    check_temperature(temperature)
    check_logit_pair(student_logits, teacher_logits, 3, _THREE)
    check_labels(target, student_logits)

    def others(logits: Tensor, labels: Tensor) -> Tensor:
        scaled = logits.double() / temperature
        return scaled.scatter(1, labels[:, None], -torch.inf).softmax(dim=1)

    def of(labels: Tensor) -> Tensor:
        return temperature * (others(student_logits, labels) - others(teacher_logits, labels))

    return _over_labels(of, target, mixed_target, mix)


def kd_gradient(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Of T² KL(teacher ‖ student) (`kd_loss`): T (p_s - p_t), with p the softmax of logits / T.

    Raises:
        RequestError: T not above 0, fewer than two classes, or shapes that differ.
    """
    check_temperature(temperature)
    check_logit_pair(student_logits, teacher_logits)
    mine, theirs = (torch.softmax(logits.double() / temperature, dim=1) for logits in (student_logits, teacher_logits))
    return temperature * (mine - theirs)


def label_gradient(
    student_logits: Tensor, target: Tensor, mixed_target: Tensor | None = None, mix: Tensor | None = None
) -> Tensor:
    """Of cross-entropy with one label, or with two in shares: p_s minus the label's distribution.

    Raises:
        RequestError: labels that are not one for each image.
    """
    check_labels(target, student_logits)
    believed = torch.softmax(student_logits.double(), dim=1)

    def of(labels: Tensor) -> Tensor:
        return believed - torch.zeros_like(believed).scatter(1, labels[:, None], 1.0)

    return _over_labels(of, target, mixed_target, mix)


def linear_nckd_gradient(difference: Tensor, target: Tensor) -> Tensor:
    """`nckd_gradient` to first order in logits / T, from differences (B, K): it no longer depends on T.

    The softmax over the K - 1 other classes is 1/(K-1) + (z - mean z) / (T (K-1)), so that T (p_s - p_t) is
    (d - mean d) / (K - 1), the mean over the others, and 0 for the label (as Hinton et al. 2015, section 2.1, find
    for KD).
    """
    own = target[:, None]
    others = difference.double().scatter(1, own, 0.0)
    count = difference.shape[1] - 1
    centred = (others - others.sum(dim=1, keepdim=True) / count) / count
    return centred.scatter(1, own, 0.0)


def linear_kd_gradient(difference: Tensor) -> Tensor:
    """`kd_gradient` to first order in logits / T: (d - mean d) / K (Hinton et al. 2015, equation 4)."""
    wide = difference.double()
    return (wide - wide.mean(dim=1, keepdim=True)) / wide.shape[1]


def _over_labels(
    of: Callable[[Tensor], Tensor], target: Tensor, mixed_target: Tensor | None, mix: Tensor | None
) -> Tensor:
    if mixed_target is None or mix is None:
        return of(target)
    share = mix.double()[:, None]
    return share * of(target) + (1 - share) * of(mixed_target)
