"""Knowledge review: each stage of the student learns from its teacher's, with what deeper stages know.

Shapes: B images, C channels, H by W positions. Stages run from shallow to deep.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.alignment import aligned, check_batch_norm, seeded
from densedistill.distill.losses.checks import check_at_least_one, check_channels, check_same_shape
from densedistill.distill.losses.features import as_map
from densedistill.distill.losses.precision import widened

_LEVELS = (4, 2, 1)


def hcl_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Hierarchical context loss: squared differences of two maps, as they are and averaged to 4x4, 2x2 and 1x1.

    Chen, Liu, Zhao and Jia, "Distilling Knowledge via Knowledge Review", CVPR 2021, section 3.3. With the weights
    of the authors' code: 1, 1/2, 1/4, 1/8 in that order, over their sum; levels not below the map's own size are
    left out.

    Args:
        student: (B, C, H, W).
        teacher: (B, C, H, W); a constant.

    Returns:
        Scalar >= 0, in squared units of the features.

    Raises:
        RequestError: shapes that differ.
    """
    check_same_shape("the student's fused feature", student, "the teacher's feature", teacher)
    mine, theirs = widened(student), widened(teacher).detach()
    losses, weight = [F.mse_loss(mine, theirs)], 1.0
    weights = [weight]
    for level in _LEVELS:
        if level >= min(mine.shape[2:]):
            continue
        weight /= 2
        weights.append(weight)
        losses.append(F.mse_loss(F.adaptive_avg_pool2d(mine, level), F.adaptive_avg_pool2d(theirs, level)))
    total = torch.stack([share * loss for share, loss in zip(weights, losses, strict=True)]).sum()
    return total / sum(weights)


class AttentionFusion(nn.Module):
    """Attention based fusion (ABF): one stage's feature with the review of the deeper ones.

    Chen et al. 2021, section 3.3. Both are weighed, position by position, by two sigmoid maps made of both.
    """

    def __init__(self, channels: int, inside: int, wanted: int, fuses: bool) -> None:
        """Build the layers.

        Args:
            channels: of the student's stage.
            inside: of the review, equal in all stages.
            wanted: of the teacher's stage.
            fuses: False for the deepest stage, which has nothing to review.
        """
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(channels, inside, kernel_size=1, bias=False), nn.BatchNorm2d(inside))
        self.expand = nn.Sequential(
            nn.Conv2d(inside, wanted, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(wanted)
        )
        self.attention = nn.Sequential(nn.Conv2d(2 * inside, 2, kernel_size=1), nn.Sigmoid()) if fuses else None
        for layers in (self.reduce, self.expand):
            nn.init.kaiming_uniform_(layers[0].get_parameter("weight"), a=1)

    def forward(self, feature: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        """Fused feature (B, wanted, H, W) for the teacher's stage, and the review (B, inside, H, W) for the next.

        Args:
            feature: (B, channels, H, W).
            deeper: (B, inside, h, w), the review of the stages below; None for the deepest.
        """
        review: Tensor = self.reduce(feature)
        if self.attention is not None and deeper is not None:
            enlarged = F.interpolate(deeper, size=review.shape[2:], mode="nearest")
            share = self.attention(torch.cat((review, enlarged), dim=1))
            review = review * share[:, :1] + enlarged * share[:, 1:]
        return self.expand(review), review


class ReviewDistillation(nn.Module):
    """ReviewKD: fuses the student's stages from deep to shallow and sums `hcl_loss` over stages.

    Chen et al. 2021, section 3.2. Fused features keep their stage's size; where the teacher's differs, the larger is
    averaged to the smaller (`aligned`). The authors resize the student's to the teacher's, which is the same for
    equal sizes. The fusion runs in the precision of the networks around it, the loss in float32 or wider.
    """

    def __init__(
        self,
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
        inside: int | None = None,
        seed: int = 0,
    ) -> None:
        """Build one fusion for each stage, from a generator of its own.

        Args:
            student_channels: of the student's stages, from shallow to deep.
            teacher_channels: of the teacher's, one for each.
            inside: channels of the review; by default those of the student's deepest stage, at most 512.
            seed: gives the weights.

        Raises:
            RequestError: no stage, unequal numbers of stages, or a channel count below 1.
        """
        super().__init__()
        if not student_channels or len(student_channels) != len(teacher_channels):
            raise RequestError(
                f"{len(student_channels)} student and {len(teacher_channels)} teacher stages cannot be reviewed: "
                "give as many taps of either network, one at least"
            )
        review = min(512, student_channels[-1]) if inside is None else inside
        for count in (*student_channels, *teacher_channels, review):
            check_at_least_one("channels", count)
        deepest = len(student_channels) - 1
        self.student_channels = tuple(student_channels)
        self.fusions = seeded(
            lambda: nn.ModuleList(
                AttentionFusion(mine, review, theirs, fuses=stage < deepest)
                for stage, (mine, theirs) in enumerate(zip(student_channels, teacher_channels, strict=True))
            ),
            seed,
        )

    def forward(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
        """Scalar loss of stages (B, C, H, W), (B, L, C) or (B, C), both from shallow to deep.

        Raises:
            RequestError: another number of stages or channels than promised, features that cannot be aligned, or a
                single value for each channel of a batch-norm.
        """
        if not len(students) == len(teachers) == len(self.fusions):
            raise RequestError(
                f"{len(students)} student and {len(teachers)} teacher features came for {len(self.fusions)} stages: "
                "give one of each for every stage"
            )
        losses, review = [], None
        for stage in reversed(range(len(self.fusions))):
            theirs = _placed(teachers[stage])
            feature = as_map(_placed(students[stage]), theirs)
            check_channels(feature, self.student_channels[stage], "the student's")
            check_batch_norm(self, feature.shape[0], *feature.shape[2:])
            fused, review = self.fusions[stage](feature, review)
            losses.append(hcl_loss(*aligned(fused, theirs)))
        return torch.stack(losses).sum()


def _placed(feature: Tensor) -> Tensor:
    """A feature of the whole image (B, C) as a map of one place."""
    return feature[:, :, None, None] if feature.ndim == 2 else feature
