"""Divergences of a student's maps of logits from its teacher's, pixel by pixel.

Shapes: B images, K classes, H by W pixels. All are in float32 or wider.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.checks import check_same_shape, check_temperature
from densedistill.distill.losses.distributions import divergence
from densedistill.distill.losses.precision import widened


def bernoulli_kl(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Softened distillation of pixels that are on or off: T² KL(σ(teacher / T) ‖ σ(student / T)), mean over pixels.

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2, for two classes at each
    pixel: a logit x is the difference of the two classes' logits, and σ(x) their softmax.

    Args:
        student_logits: (B, 1, H, W), or any one shape for both: each channel is a question of its own.
        teacher_logits: the same shape. Differentiable too: detach it, as the engine does.
        temperature: T > 0, dimensionless.
        weight: how much each pixel counts, >= 0, of the same shape; see `weighted_mean`.

    Returns:
        Scalar >= 0, nats times T².

    Raises:
        RequestError: T is not above 0, or shapes that differ.
    """
    check_temperature(temperature)
    check_same_shape("the student's map", student_logits, "the teacher's", teacher_logits)
    student, teacher = widened(student_logits) / temperature, widened(teacher_logits) / temperature
    on = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
    off = (-teacher).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return weighted_mean(on + off, weight) * temperature**2


def pixel_kl(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Pixel-wise distillation: T² KL(teacher ‖ student) of the classes at each pixel, mean over all pixels.

    Liu, Chen, Liu, Qin, Luo and Wang, "Structured Knowledge Distillation for Semantic Segmentation", CVPR 2019,
    arXiv:1903.04197, section 3.1 (pixel-wise distillation); the temperature is Hinton et al.'s. Pixels without a label
    count too: the teacher has something to say of them.

    Args:
        student_logits: (B, K, H, W), K >= 2.
        teacher_logits: the same shape. Differentiable too: detach it, as the engine does.
        temperature: T > 0, dimensionless.
        weight: how much each pixel counts, >= 0, (B, 1, H, W); see `weighted_mean`.

    Returns:
        Scalar >= 0, nats times T².

    Raises:
        RequestError: T is not above 0, fewer than two classes, or shapes that differ.
    """
    check_temperature(temperature)
    check_class_maps(student_logits)
    check_same_shape("the student's map", student_logits, "the teacher's", teacher_logits)
    log_student = F.log_softmax(widened(student_logits) / temperature, dim=1)
    log_teacher = F.log_softmax(widened(teacher_logits) / temperature, dim=1)
    return weighted_mean(divergence(log_teacher, log_student)[:, None], weight) * temperature**2


def channel_kl(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """Channel-wise distillation (CWD): each channel's map as a distribution over its places, T² KL, mean over channels.

    Shu, Liu, Gao, Yan and Shen, "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021,
    arXiv:2011.13256, section 3.2: φ(y_c)_i = softmax over places i of y_c,i / T; T² / C times the sum over channels of
    KL(φ(teacher) ‖ φ(student)). What a channel has at every place alike is divided out.

    Args:
        student: (B, C, H, W), logits or features.
        teacher: the same shape. Differentiable too: detach it, as the engine does.
        temperature: T > 0, dimensionless; the paper's is 4.

    Returns:
        Scalar >= 0, nats times T², mean over the batch.

    Raises:
        RequestError: T is not above 0, not (B, C, H, W), or shapes that differ.
    """
    check_temperature(temperature)
    check_maps(student)
    check_same_shape("the student's map", student, "the teacher's", teacher)
    # Channels of all images as rows of places.
    log_student = F.log_softmax(widened(student).flatten(2).flatten(0, 1) / temperature, dim=1)
    log_teacher = F.log_softmax(widened(teacher).flatten(2).flatten(0, 1) / temperature, dim=1)
    return divergence(log_teacher, log_student).mean() * temperature**2


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Σ w x / Σ w over all pixels of the batch, so that weights shift attention and leave the scale; None: the mean.

    Raises:
        RequestError: a weight of another shape.
    """
    if weight is None:
        return values.mean()
    check_same_shape("the weight of pixels", weight, "the map", values)
    return (weight * values).sum() / weight.sum()


def check_maps(values: Tensor) -> None:
    """Raise `RequestError` unless `values` is (B, C, H, W)."""
    if values.ndim != 4:
        raise RequestError(
            f"an output of shape {tuple(values.shape)} is no map (batch, channels, height, width): give a network for "
            "dense prediction, such as smp/unet-resnet34"
        )


def check_class_maps(logits: Tensor) -> None:
    """Raise `RequestError` unless `logits` is (B, K, H, W) with two classes or more."""
    check_maps(logits)
    if logits.shape[1] < 2:
        raise RequestError(
            "1 output channel: softmax over one class is constant, so give a network of two classes or more"
        )
