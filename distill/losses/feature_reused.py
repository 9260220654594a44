"""A student that answers through its teacher's classifier.

Shapes: B images, C channels, H by W positions, K classes.
"""

from __future__ import annotations

import copy
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.alignment import aligned, check_batch_norm, seeded
from densedistill.distill.losses.checks import check_at_least_one, check_channels
from densedistill.distill.losses.features import as_map, feature_mse
from densedistill.distill.losses.vectors import pooled


def simkd_loss(projected: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the projected student's last map and its teacher's.

    Chen, Mei, Zhang, Wang, Wang, Feng and Chen, "Knowledge Distillation with the Reused Teacher Classifier", CVPR
    2022, section 3.2. It is the paper's only loss: no cross-entropy and no soft labels beside it.

    Args:
        projected: (B, C, H, W), the student's last map after its projector.
        teacher: (B, C, H, W), the teacher's last map before the pooling; a constant.

    Returns:
        Scalar >= 0, in squared units of the features.

    Raises:
        RequestError: shapes that differ.
    """
    return feature_mse(projected, teacher)


class ReusedClassifier(nn.Module):
    """The projector of SimKD and, behind it, a frozen copy of the teacher's classifier.

    The projector is the paper's bottleneck: 1x1, 3x3 and 1x1 convolutions, each with batch-norm and ReLU, with
    C' / reduction channels inside. It runs in the precision of the networks around it. The copy is part of the
    state: a student trained this way cannot answer without it. Nothing trains it, and it stays in eval mode.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        classifier: nn.Module,
        teacher_size: tuple[int, int],
        reduction: int = 2,
        seed: int = 0,
    ) -> None:
        """Build the projector from a generator of its own, and copy the classifier.

        Args:
            student_channels: C of the student's last map.
            teacher_channels: C' of the teacher's.
            classifier: from pooled features (B, C') to logits (B, K).
            teacher_size: height and width of the teacher's last map; a larger one of the student is averaged to it.
            reduction: what divides C' inside the projector; 2 in the paper.
            seed: gives the projector's weights.

        Raises:
            RequestError: a count below 1, or a reduction that leaves no channel.
        """
        super().__init__()
        check_at_least_one("student channels", student_channels)
        check_at_least_one("teacher channels", teacher_channels)
        check_at_least_one("the teacher's map of a side of", min(teacher_size))
        if not 1 <= reduction <= teacher_channels:
            raise RequestError(
                f"reduction {reduction} leaves no channel of {teacher_channels}: "
                f"give a number from 1 to {teacher_channels}, such as 2"
            )
        self.student_channels, self.teacher_size = student_channels, teacher_size
        self.projector = seeded(
            lambda: _bottleneck(student_channels, teacher_channels // reduction, teacher_channels), seed
        )
        self.classifier = copy.deepcopy(classifier).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Set the projector's mode; the classifier stays in eval mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def forward(self, student: Tensor) -> Tensor:
        """The student's logits (B, K) from its last map (B, C, H, W) or tokens (B, L, C).

        Raises:
            RequestError: other channels than promised, or a single value for each channel of a batch-norm.
        """
        feature = as_map(student, student)
        height, width = self.teacher_size
        size = (min(feature.shape[2], height), min(feature.shape[3], width))
        small = feature if tuple(feature.shape[2:]) == size else F.adaptive_avg_pool2d(feature, size)
        logits: Tensor = self.classifier(pooled(self._project(small)))
        return logits

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """`simkd_loss` of both networks' last maps, scalar.

        Raises:
            RequestError: as `forward`, or features that cannot be aligned.
        """
        small_student, small_teacher = aligned(student, teacher)
        return simkd_loss(self._project(small_student), small_teacher)

    def _project(self, feature: Tensor) -> Tensor:
        check_channels(feature, self.student_channels, "the student's")
        check_batch_norm(self, feature.shape[0], *feature.shape[2:])
        projected: Tensor = self.projector(feature)
        return projected


def _bottleneck(channels: int, inside: int, wanted: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, inside, kernel_size=1, bias=False),
        nn.BatchNorm2d(inside),
        nn.ReLU(inplace=True),
        nn.Conv2d(inside, inside, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(inside),
        nn.ReLU(inplace=True),
        nn.Conv2d(inside, wanted, kernel_size=1, bias=False),
        nn.BatchNorm2d(wanted),
        nn.ReLU(inplace=True),
    )
