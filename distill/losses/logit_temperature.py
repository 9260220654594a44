"""A temperature that is learned against the student, gently at first.

Shapes: B images, K classes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.checks import check_logit_pair
from densedistill.distill.losses.distributions import divergence
from densedistill.distill.losses.precision import widened


def ctkd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: Tensor) -> Tensor:
    """`kd_loss` at a temperature that is a tensor and has a gradient: τ² KL(teacher ‖ student).

    Li, Li, Yang, Zhao, Song, Luo, Li and Yang, "Curriculum Temperature for Knowledge Distillation", AAAI 2023,
    "Adversarial Distillation". The gradient with respect to τ passes through τ² too, as in the authors' code.

    Args:
        student_logits: (B, K), K >= 2.
        teacher_logits: (B, K); constants.
        temperature: scalar tensor τ > 0, dimensionless, from `CurriculumTemperature`. Its value is not read here,
            which would wait for the device.

    Returns:
        Scalar >= 0, nats times τ².

    Raises:
        RequestError: a temperature that is not a scalar, fewer than two classes, or shapes that differ.
    """
    check_logit_pair(student_logits, teacher_logits)
    if temperature.ndim:
        raise RequestError(
            f"the learned temperature has shape {tuple(temperature.shape)}: give one number for the whole batch"
        )
    log_student_BK = F.log_softmax(widened(student_logits) / temperature, dim=1)
    log_teacher_BK = F.log_softmax(widened(teacher_logits).detach() / temperature, dim=1)
    return divergence(log_teacher_BK, log_student_BK).mean() * temperature.square()


def curriculum(epoch: float, epochs: float = 10.0) -> float:
    """How strongly the temperature works against the student, λ: from 0 to 1 on half a cosine.

    Li et al. 2023, "Curriculum Temperature": an easy task first. λ = (1 - cos(π min(epoch, E) / E)) / 2.

    Args:
        epoch: epochs done, >= 0, not necessarily whole. The authors count from 1 in the first epoch.
        epochs: E > 0, after which λ stays 1; 10 in the paper.

    Raises:
        RequestError: epochs not above 0.
    """
    if not epochs > 0:
        raise RequestError(f"a curriculum of {epochs} epochs has no course: give a number above 0, such as 10")
    return (1 - math.cos(math.pi * min(max(epoch, 0.0), epochs) / epochs)) / 2


def reverse_gradient(values: Tensor, strength: float) -> Tensor:
    """`values` as they are, with a gradient multiplied by -strength.

    The gradient reversal layer of Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", 2015.
    A minimiser of the loss then maximises it over whatever `values` depend on.
    """
    constant = values.detach()
    return constant + strength * (constant - values)


class CurriculumTemperature(nn.Module):
    """The global temperature of CTKD, one trainable number: τ = start + span σ(θ), with θ = 1 at first.

    Li et al. 2023, "Learnable Temperature Module". Its gradient is reversed, so the optimizer that makes the loss
    small makes it large over τ. `start` 1 and `span` 20 are the paper's: τ begins at 15.6 and stays in 1 to 21.
    """

    def __init__(self, start: float = 1.0, span: float = 20.0) -> None:
        """Set the range of τ.

        Raises:
            RequestError: start or span not above 0.
        """
        super().__init__()
        if not (start > 0 and span > 0):
            raise RequestError(f"a temperature from {start} over a span of {span} is none: give numbers above 0")
        self.start, self.span = start, span
        self.level = nn.Parameter(torch.ones(()))

    def forward(self, strength: float) -> Tensor:
        """τ, a scalar tensor in float32; `strength` is λ of `curriculum`."""
        return self.start + self.span * reverse_gradient(widened(self.level), strength).sigmoid()
