"""Losses on class logits: distillation from softened outputs, and labels that may be mixed.

Shapes: B images, K classes. All return the mean over the batch in nats, in float32 or wider.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.losses.checks import (
    ONE_CHANNEL,
    check_label_smoothing,
    check_labels,
    check_logit_pair,
    check_logits,
    check_temperature,
    check_weight,
)
from densedistill.distill.losses.distributions import divergence, over_labels, without_target
from densedistill.distill.losses.precision import widened

_TWO_CLASSES = (
    "DKD needs three classes or more, because with a single class beside the target its non-target "
    "term is always 0, so use kd instead"
)


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Distillation from softened outputs: T² KL(teacher ‖ student), mean over the batch.

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2; T² keeps the
    size of the gradient independent of the temperature T (section 2.1).

    Args:
        student_logits: (B, K), K >= 2.
        teacher_logits: (B, K). Differentiable too: detach it, as the engine does.
        temperature: T > 0, dimensionless.

    Returns:
        Scalar >= 0, nats times T².

    Raises:
        RequestError: T is not above 0, fewer than two classes, or shapes that differ.
    """
    check_temperature(temperature)
    check_logit_pair(student_logits, teacher_logits)
    log_student_BK = F.log_softmax(widened(student_logits) / temperature, dim=1)
    log_teacher_BK = F.log_softmax(widened(teacher_logits) / temperature, dim=1)
    return divergence(log_teacher_BK, log_student_BK).mean() * temperature**2


def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    alpha: float,
    beta: float,
    temperature: float,
) -> Tensor:
    """Decoupled distillation: T² (alpha TCKD + beta NCKD), mean over the batch.

    Zhao, Cui, Song, Qiu and Liang, "Decoupled Knowledge Distillation", CVPR 2022, equation 7. TCKD compares
    the target with all other classes together, NCKD compares the other classes among themselves. With alpha 1
    and beta 1 - (the teacher's probability of the target) an image's loss is that of `kd_loss` (equation 5).

    Args:
        student_logits: (B, K), K >= 3.
        teacher_logits: (B, K).
        target: (B,) int64 in 0..K-1.
        alpha: weight of TCKD, >= 0. Not `method.alpha`, which is the weight of the whole term.
        beta: weight of NCKD, >= 0.
        temperature: T > 0, dimensionless.

    Returns:
        Scalar >= 0, nats times T².

    Raises:
        RequestError: a negative weight, T not above 0, fewer than three classes, or shapes that do not match.
    """
    return dkd_per_image(student_logits, teacher_logits, target, alpha, beta, temperature).mean()


def dkd_per_image(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    alpha: float,
    beta: float,
    temperature: float,
) -> Tensor:
    """`dkd_loss` before its mean: (B,). Arguments and errors are the same."""
    check_temperature(temperature)
    check_weight("the weight of DKD's target term", alpha)
    check_weight("the weight of DKD's non-target term", beta)
    check_logit_pair(student_logits, teacher_logits, 3, _TWO_CLASSES)
    check_labels(target, student_logits)
    binary_student, others_student = _decoupled(widened(student_logits) / temperature, target)
    binary_teacher, others_teacher = _decoupled(widened(teacher_logits) / temperature, target)
    tckd_B = divergence(binary_teacher, binary_student)
    nckd_B = divergence(others_teacher, others_student)
    return (alpha * tckd_B + beta * nckd_B) * temperature**2


def mixed_cross_entropy(
    logits: Tensor,
    target: Tensor,
    mixed_target: Tensor | None = None,
    mix: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy against one label, or two in shares: mix CE(target) + (1 - mix) CE(mixed_target).

    Mixup (Zhang et al., 2018, equation 1) and CutMix (Yun et al., 2019, equation 1): cross-entropy is linear
    in the label, so mixing losses is mixing labels. Label smoothing as in Szegedy et al., 2016, section 7.

    Args:
        logits: (B, K), K >= 2.
        target: (B,) int64 in 0..K-1.
        mixed_target: (B,) int64, the label mixed in; None where the batch is not mixed.
        mix: (B,) in [0, 1], the share of `target`; None where the batch is not mixed.
        label_smoothing: share of the label spread over all classes, in [0, 1).

    Returns:
        Scalar >= 0, nats, mean over the batch.

    Raises:
        RequestError: label smoothing out of range, fewer than two classes, shapes that do not match, or only
            one of `mixed_target` and `mix`.
    """
    check_label_smoothing(label_smoothing)
    check_logits(logits, 2, ONE_CHANNEL)
    wide_BK = widened(logits)

    def cross_entropy(labels: Tensor) -> Tensor:
        check_labels(labels, logits)
        return F.cross_entropy(wide_BK, labels, reduction="none", label_smoothing=label_smoothing)

    return over_labels(cross_entropy, target, mixed_target, mix)


def _decoupled(scaled_BK: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities: target and not target (B, 2); the others given not target (B, K - 1)."""
    others_BK = without_target(scaled_BK, target)
    # From the log-odds, since 1 - p(target) and its gradient round to 0 for a confident network.
    odds_B1 = scaled_BK.gather(1, target[:, None]) - others_BK.logsumexp(dim=1, keepdim=True)
    binary = torch.cat((F.logsigmoid(odds_B1), F.logsigmoid(-odds_B1)), dim=1)
    return binary, F.log_softmax(others_BK, dim=1)
