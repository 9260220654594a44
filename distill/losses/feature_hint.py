"""Hints: a student's feature that a regressor turns into its teacher's.

Shapes: B images, C channels, H by W positions.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from densedistill.distill.losses.alignment import aligned, check_batch_norm, seeded
from densedistill.distill.losses.checks import check_at_least_one, check_channels
from densedistill.distill.losses.features import feature_mse
from densedistill.distill.losses.precision import without_autocast


def hint_loss(student: Tensor, teacher: Tensor, regressor: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean squared difference from the regressed student's feature to its teacher's.

    Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, equation 3, as a mean (`feature_mse`). The
    paper trains the student up to the hint with this loss first; the field since adds it to the task's loss, with
    a weight of 100.

    Args:
        student: (B, C, H, W), or tokens (B, L, C).
        teacher: (B, C', H', W'), or tokens (B, L', C'); a constant.
        regressor: from (B, C, h, w) to (B, C', h, w), h and w being the smaller of both sizes; runs in float32 or
            wider.

    Returns:
        Scalar >= 0, in squared units of the features.

    Raises:
        RequestError: features that cannot be aligned, or a regressor that gives another shape.
    """
    small_student, small_teacher = aligned(student, teacher)
    with without_autocast(small_student):
        return feature_mse(regressor(small_student), small_teacher)


class HintRegression(nn.Module):
    """`hint_loss` with the regressor the field uses: 1x1 convolution, batch-norm, ReLU.

    Its output is not negative, so the teacher's tap should follow a ReLU. `FeatureMatching` has the plain linear
    projector.
    """

    def __init__(self, student_channels: int, teacher_channels: int, seed: int = 0) -> None:
        """Build the regressor from a generator of its own.

        Raises:
            RequestError: a channel count below 1.
        """
        super().__init__()
        check_at_least_one("student channels", student_channels)
        check_at_least_one("teacher channels", teacher_channels)
        self.student_channels = student_channels
        self.regressor = seeded(
            lambda: nn.Sequential(
                nn.Conv2d(student_channels, teacher_channels, kernel_size=1),
                nn.BatchNorm2d(teacher_channels),
                nn.ReLU(inplace=True),
            ),
            seed,
        )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Scalar loss of the student's feature against the teacher's, shapes as `hint_loss` takes them.

        Raises:
            RequestError: other channels than promised, features that cannot be aligned, or a single value for
                each channel of the batch-norm.
        """
        return hint_loss(student, teacher, self._regress)

    def _regress(self, feature: Tensor) -> Tensor:
        check_channels(feature, self.student_channels, "the student's")
        check_batch_norm(self, feature.shape[0], *feature.shape[2:])
        regressed: Tensor = self.regressor(feature)
        return regressed
