"""Losses on logits that treat the label's class apart, for plain and for mixed labels.

Shapes: B images, K classes. The teacher's logits are constants.
"""

from __future__ import annotations

import torch
from torch import Tensor

from densedistill.distill.losses.checks import (
    check_exponent,
    check_labels,
    check_logit_pair,
    check_temperature,
    check_weight,
)
from densedistill.distill.losses.distributions import over_labels, without_target
from densedistill.distill.losses.logits import dkd_per_image
from densedistill.distill.losses.precision import widened

_TWO_CLASSES = (
    "NKD needs three classes or more, because with a single class beside the target its non-target "
    "term is always 0, so use kd instead"
)


def mixed_dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    alpha: float,
    beta: float,
    temperature: float,
    mixed_target: Tensor | None = None,
    mix: Tensor | None = None,
) -> Tensor:
    """Decoupled distillation of images with mixed labels: λ DKD(a) + (1 - λ) DKD(b), mean over the batch.

    Zhao et al. define DKD (`dkd_loss`) for one label. Under Mixup and CutMix the label is a with probability λ
    and b with 1 - λ, and cross-entropy, which is linear in the label, becomes its expectation. So does DKD here:

    - At λ = 1, at λ = 0, and for a = b it is `dkd_loss` of the one label.
    - Equation 5 of the paper, KL = TCKD(y) + (1 - p_t(y)) NCKD(y), holds for every label y, so with alpha 1 and
      each label's own coupled weight 1 - p_t(y) either part is KL. The shares sum to 1, so the mixture is KL too,
      as it must be: `kd_loss` reads no label.
    - Splitting the classes in three instead, {a}, {b} and the rest, also decouples KL, but keeps b out of NCKD
      when λ = 1 and so is not DKD there.

    The non-target distribution of a contains b, in which the teacher of a mixed image believes, and beta
    multiplies that: a large beta mostly teaches how the image is mixed.

    Args:
        student_logits: (B, K), K >= 3.
        teacher_logits: (B, K).
        target: (B,) int64 in 0..K-1, the labels a.
        alpha: weight of TCKD, >= 0.
        beta: weight of NCKD, >= 0.
        temperature: T > 0, dimensionless.
        mixed_target: (B,) int64, the labels b; None where the batch is not mixed.
        mix: (B,) in [0, 1], λ; None where the batch is not mixed.

    Returns:
        Scalar >= 0, nats times T².

    Raises:
        RequestError: as `dkd_loss`, or only one of `mixed_target` and `mix`.
    """

    def per_image(labels: Tensor) -> Tensor:
        return dkd_per_image(student_logits, teacher_logits.detach(), labels, alpha, beta, temperature)

    return over_labels(per_image, target, mixed_target, mix)


def nkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    gamma: float = 1.5,
    temperature: float = 1.0,
    mixed_target: Tensor | None = None,
    mix: Tensor | None = None,
) -> Tensor:
    """Normalised distillation: -t_y log s_y - γ T² Σ_{k≠y} N(t_k) log N(s_k), mean over the batch.

    Yang, Zeng, Li, Zhang, Yuan and Li, "From Knowledge Distillation to Self-Knowledge Distillation: A Unified
    Approach with Normalized Loss and Customized Soft Labels", ICCV 2023, section 3. t and s are probabilities
    at temperature 1; N are the non-target classes' at T, divided by their sum. Both parts are cross-entropies, so
    a perfect student's loss is the teacher's entropy, not 0. Used beside the cross-entropy of the label.

    For mixed labels it is λ NKD(a) + (1 - λ) NKD(b), see `mixed_dkd_loss`: its target part then reads
    -λ t_a log s_a - (1 - λ) t_b log s_b, cross-entropy with each label weighed by the teacher's belief in it.

    Args:
        student_logits: (B, K), K >= 3.
        teacher_logits: (B, K).
        target: (B,) int64 in 0..K-1.
        gamma: weight of the non-target part, >= 0. The paper's default, used on ImageNet.
        temperature: T > 0 of the non-target part, dimensionless; 1 in the paper's recipe.
        mixed_target: (B,) int64, the label mixed in; None where the batch is not mixed.
        mix: (B,) in [0, 1], the share of `target`; None where the batch is not mixed.

    Returns:
        Scalar >= 0, nats.

    Raises:
        RequestError: a negative weight, T not above 0, fewer than three classes, shapes that do not match, or
            only one of `mixed_target` and `mix`.
    """
    check_temperature(temperature)
    check_weight("the weight of NKD's non-target term", gamma)
    check_logit_pair(student_logits, teacher_logits, 3, _TWO_CLASSES)
    student_BK, teacher_BK = widened(student_logits), widened(teacher_logits).detach()
    log_student_BK, believed_BK = student_BK.log_softmax(dim=1), teacher_BK.softmax(dim=1)

    def per_image(labels: Tensor) -> Tensor:
        check_labels(labels, student_logits)
        own_B1 = labels[:, None]
        target_B = (believed_BK.gather(1, own_B1) * log_student_BK.gather(1, own_B1)).squeeze(1)
        log_others = (without_target(student_BK, labels) / temperature).log_softmax(dim=1)
        others = (without_target(teacher_BK, labels) / temperature).softmax(dim=1)
        return -target_B - gamma * temperature**2 * (others * log_others).sum(dim=1)

    return over_labels(per_image, target, mixed_target, mix)


def ofa_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    gamma: float = 1.0,
    temperature: float = 1.0,
    mixed_target: Tensor | None = None,
    mix: Tensor | None = None,
) -> Tensor:
    """One-for-all distillation: -((1 + t_y)^γ - 1) log s_y - Σ_{k≠y} t_k^γ log s_k, mean over the batch.

    Hao, Guo, Han, Tang, Hu, Wang and Xu, "One-for-All: Bridge the Gap Between Heterogeneous Architectures in
    Knowledge Distillation", NeurIPS 2023, section 3, as the authors' code computes it, which the paper's tables
    come from. It differs from the printed loss twice: the cross-entropy of the label, which makes the paper's
    first factor (1 + t_y)^γ, is a term of its own here and there, and t_k^γ stands for t_k. At γ = 1 it is the
    cross-entropy against the teacher; above 1 it leans towards the label where the teacher is sure of it.

    Applied to the student's own logits and to those of heads on its stages (`LogitHead`), against the teacher's
    logits each time. For mixed labels it is λ OFA(a) + (1 - λ) OFA(b), see `mixed_dkd_loss`.

    Args:
        student_logits: (B, K), K >= 2, of the student or of a head.
        teacher_logits: (B, K).
        target: (B,) int64 in 0..K-1.
        gamma: γ > 0, dimensionless. 1 is the code's default; the paper tunes it up to 1.6 for each pair.
        temperature: T > 0, dimensionless, for both networks; 1 in the paper.
        mixed_target: (B,) int64, the label mixed in; None where the batch is not mixed.
        mix: (B,) in [0, 1], the share of `target`; None where the batch is not mixed.

    Returns:
        Scalar >= 0, nats.

    Raises:
        RequestError: γ or T not above 0, fewer than two classes, shapes that do not match, or only one of
            `mixed_target` and `mix`.
    """
    check_temperature(temperature)
    check_exponent("OFA's gamma", gamma)
    check_logit_pair(student_logits, teacher_logits)
    log_student_BK = (widened(student_logits) / temperature).log_softmax(dim=1)
    believed_BK = (widened(teacher_logits).detach() / temperature).softmax(dim=1)
    weight_BK, own_weight_BK = believed_BK.pow(gamma), torch.expm1(gamma * believed_BK.log1p())

    def per_image(labels: Tensor) -> Tensor:
        check_labels(labels, student_logits)
        own_B1 = labels[:, None]
        return -(weight_BK.scatter(1, own_B1, own_weight_BK.gather(1, own_B1)) * log_student_BK).sum(dim=1)

    return over_labels(per_image, target, mixed_target, mix)
