"""Losses on how logits relate: classes of an image, images of a class, images and classes among each other.

Shapes: B images, K classes. The teacher's logits are constants.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.checks import check_images, check_logit_pair, check_temperature, check_weight
from densedistill.distill.losses.distributions import divergence
from densedistill.distill.losses.logit_standard import standardise
from densedistill.distill.losses.precision import widened, without_autocast

_EPSILON = 1e-8


def dist_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    inter_weight: float = 2.0,
    intra_weight: float = 2.0,
    temperature: float = 4.0,
) -> Tensor:
    """Distillation from a stronger teacher: T² (β inter + γ intra), in Pearson's distances 1 - ρ.

    Huang, You, Wang, Qian and Xu, "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, section 4:
    `inter` compares the networks' probabilities of the classes of an image, mean over images; `intra` those of
    the images of a class, mean over classes. A correlation asks only for a linear relation, which a student can
    keep without its teacher's confidence. T² and the 1e-8 in ρ's denominator are the authors' code's; the latter
    lets go of classes that no image of the batch resembles.

    Args:
        student_logits: (B, K), K >= 2.
        teacher_logits: (B, K).
        inter_weight: β >= 0.
        intra_weight: γ >= 0. At 0, a batch of one is defined.
        temperature: T > 0, dimensionless.

    Returns:
        Scalar >= 0, dimensionless.

    Raises:
        RequestError: a negative weight, T not above 0, fewer than two classes, shapes that differ, or a batch of
            one with γ above 0.
    """
    check_temperature(temperature)
    check_weight("the weight of DIST's inter-class term", inter_weight)
    check_weight("the weight of DIST's intra-class term", intra_weight)
    check_logit_pair(student_logits, teacher_logits)
    if intra_weight:
        check_images(student_logits, 2, "DIST correlates the images of a class, and one image has no correlation")
    student_BK = (widened(student_logits) / temperature).softmax(dim=1)
    teacher_BK = (widened(teacher_logits).detach() / temperature).softmax(dim=1)
    loss = inter_weight * _uncorrelated(student_BK, teacher_BK)
    if intra_weight:
        loss = loss + intra_weight * _uncorrelated(student_BK.T, teacher_BK.T)
    return loss * temperature**2


def mlkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
    *,
    instance_weight: float = 1.0,
    batch_weight: float = 1.0,
    class_weight: float = 1.0,
    standardised: bool = False,
) -> Tensor:
    """Multi-level logit distillation: instance, batch and class level, summed over temperatures.

    Jin, Wang and Lin, "Multi-Level Logit Distillation", CVPR 2023, section 3. With P the probabilities (B, K) at
    temperature T, each T adds

        T² KL(teacher ‖ student)  +  ‖P_t P_tᵀ - P_s P_sᵀ‖² / B  +  ‖P_tᵀ P_t - P_sᵀ P_s‖² / K

    the first a mean over images, the others squared Frobenius norms: which images resemble each other, and which
    classes occur together. The paper weighs all alike. Its code takes two views of each image and comes to weights of
    1.5, 0.5 and 0.5 where there is one; its masks of confident images multiply terms that are means already, and are
    left out here. The class level grows like B² / K²: next to nothing for the paper's 100 classes and batches of 64,
    it outweighs the rest for 10.

    Args:
        student_logits: (B, K), K >= 2.
        teacher_logits: (B, K).
        temperatures: the T of its prediction augmentation, each > 0, dimensionless.
        instance_weight: of the first level, >= 0.
        batch_weight: of the second, >= 0.
        class_weight: of the third, >= 0.
        standardised: `standardise` both networks' logits for the first level, as LSKD's code has it.

    Returns:
        Scalar >= 0: nats times T² and squared probabilities, as they are.

    Raises:
        RequestError: no temperature or one not above 0, a negative weight, fewer than two classes, or shapes that
            differ.
    """
    if not temperatures:
        raise RequestError("multi-level distillation has no temperature: give at least one, such as 4")
    for temperature in temperatures:
        check_temperature(temperature)
    weights = {"instance": instance_weight, "batch": batch_weight, "class": class_weight}
    for level, weight in weights.items():
        check_weight(f"the weight of MLKD's {level} level", weight)
    check_logit_pair(student_logits, teacher_logits)
    student_BK, teacher_BK = widened(student_logits), widened(teacher_logits).detach()
    with without_autocast(student_BK):
        answers = (standardise(student_BK), standardise(teacher_BK)) if standardised else (student_BK, teacher_BK)
        levels = []
        for temperature in temperatures:
            batch, category = _relation_levels(student_BK, teacher_BK, temperature)
            instance = _instance_level(*answers, temperature)
            levels.append(instance_weight * instance + batch_weight * batch + class_weight * category)
        return torch.stack(levels).sum()


def _instance_level(student_BK: Tensor, teacher_BK: Tensor, temperature: float) -> Tensor:
    log_student_BK = F.log_softmax(student_BK / temperature, dim=1)
    log_teacher_BK = F.log_softmax(teacher_BK / temperature, dim=1)
    return divergence(log_teacher_BK, log_student_BK).mean() * temperature**2


def _relation_levels(student_BK: Tensor, teacher_BK: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """How images resemble each other, and how classes occur together."""
    student_BK, teacher_BK = (student_BK / temperature).softmax(dim=1), (teacher_BK / temperature).softmax(dim=1)
    images, classes = student_BK.shape
    batch = (student_BK @ student_BK.T - teacher_BK @ teacher_BK.T).square().sum() / images
    category = (student_BK.T @ student_BK - teacher_BK.T @ teacher_BK).square().sum() / classes
    return batch, category


def _uncorrelated(rows: Tensor, others: Tensor) -> Tensor:
    """1 - Pearson's correlation of each row of one with the same row of the other, mean over rows."""
    rows, others = rows - rows.mean(dim=1, keepdim=True), others - others.mean(dim=1, keepdim=True)
    lengths = torch.linalg.vector_norm(rows, dim=1) * torch.linalg.vector_norm(others, dim=1)
    correlation: Tensor = (rows * others).sum(dim=1) / (lengths + _EPSILON)
    return 1 - correlation.mean()
