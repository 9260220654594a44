"""A variational bound on how much a student's feature tells of its teacher's.

Shapes: B images, C channels, H by W positions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.distill.losses.alignment import aligned, seeded
from densedistill.distill.losses.checks import check_at_least_one, check_channels, check_exponent, check_same_shape
from densedistill.distill.losses.precision import widened, without_autocast

_LEAST_VARIANCE = 1e-5


def vid_loss(mean: Tensor, variance: Tensor, teacher: Tensor) -> Tensor:
    """Negative log-likelihood of the teacher's feature: mean of ((t - μ)² / σ² + log σ²) / 2.

    Ahn, Hu, Damianou, Lawrence and Dai, "Variational Information Distillation for Knowledge Transfer", CVPR 2019,
    section 2: a Gaussian q(t | s) whose mean a network makes of the student's feature, and whose variance is one
    number for each channel. The constant log(2π) / 2 is left out, and the sum over the feature is a mean.

    Args:
        mean: (B, C, H, W), μ.
        variance: (C,), σ² > 0, in squared units of the feature.
        teacher: (B, C, H, W), t; a constant.

    Returns:
        Scalar, nats for each value; negative where the variance is small.

    Raises:
        RequestError: shapes that differ.
    """
    check_same_shape("the predicted mean", mean, "the teacher's feature", teacher)
    channel_variance = widened(variance).view(1, -1, 1, 1)
    squared = (widened(mean) - widened(teacher).detach()).square()
    return 0.5 * (squared / channel_variance + channel_variance.log()).mean()


class VariationalDistillation(nn.Module):
    """`vid_loss` with its trainable Gaussian: three 1x1 convolutions for μ, a softplus of one number for σ².

    The layers and the first variance are those of the field's comparisons: ReLU between the convolutions, no bias,
    as many hidden channels as the teacher has; σ² starts at 5 and stays above 1e-5.
    """

    def __init__(
        self, student_channels: int, teacher_channels: int, initial_variance: float = 5.0, seed: int = 0
    ) -> None:
        """Build the network from a generator of its own.

        Raises:
            RequestError: a channel count below 1, or a variance that is not above 0.
        """
        super().__init__()
        check_at_least_one("student channels", student_channels)
        check_at_least_one("teacher channels", teacher_channels)
        check_exponent("the initial variance", initial_variance - _LEAST_VARIANCE)
        self.student_channels = student_channels

        def build() -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False),
                nn.ReLU(inplace=True),
                nn.Conv2d(teacher_channels, teacher_channels, kernel_size=1, bias=False),
                nn.ReLU(inplace=True),
                nn.Conv2d(teacher_channels, teacher_channels, kernel_size=1, bias=False),
            )

        self.mean = seeded(build, seed)
        level = math.log(math.expm1(initial_variance - _LEAST_VARIANCE))
        self.level = nn.Parameter(torch.full((teacher_channels,), level))

    @property
    def variance(self) -> Tensor:
        """σ² of each channel, (C,)."""
        return F.softplus(widened(self.level)) + _LEAST_VARIANCE

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Scalar loss; (B, C, H, W) or tokens (B, L, C) of both networks, of any sizes.

        Raises:
            RequestError: other channels than promised, or features that cannot be aligned.
        """
        small_student, small_teacher = aligned(student, teacher)
        check_channels(small_student, self.student_channels, "the student's")
        with without_autocast(small_student):
            return vid_loss(self.mean(small_student), self.variance, small_teacher)
