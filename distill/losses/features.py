"""Matching a student's features to its teacher's, through trainable 1x1 projectors.

Shapes: B images, C channels, H by W positions, L = H W tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.losses.checks import check_same_shape, check_weight
from densedistill.distill.losses.precision import widened, without_autocast
from densedistill.distill.outputs import Prediction, StepOutputs

Projection = Literal["affine", "linear"]
"""A 1x1 convolution with bias, or one without."""


def feature_mse(projected: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two feature maps, over batch, channels and positions.

    Romero et al., "FitNets: Hints for Thin Deep Nets", 2015, equation 3, as a mean instead of half a sum: the
    weight of the term then does not depend on the size of the map.

    Args:
        projected: (B, C, H, W), the student's features after its projector.
        teacher: the same shape; a constant.

    Returns:
        Scalar >= 0, in squared units of the features.

    Raises:
        RequestError: shapes that differ.
    """
    check_same_shape("the student's projected feature", projected, "the teacher's feature", teacher)
    return F.mse_loss(widened(projected), widened(teacher).detach())


def pooled_cosine(projected: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of two feature maps averaged over their positions, mean over the batch.

    The second term of Feature-KD in the code of Yaşar, "Student Capacity Moderates Knowledge Distillation
    Effectiveness", 2026 (arXiv:2605.31191), where it has weight 0.5 beside `feature_mse`. Which channels are large in
    an image is compared whatever their scale.

    Args:
        projected: (B, C, H, W), the student's features after its projector.
        teacher: the same shape; a constant.

    Returns:
        Scalar in [0, 2], dimensionless; 1 for a map whose averages are all 0.

    Raises:
        RequestError: shapes that differ.
    """
    check_same_shape("the student's projected feature", projected, "the teacher's feature", teacher)
    mine_BC, theirs_BC = (widened(feature).mean(dim=(2, 3)) for feature in (projected, teacher.detach()))
    return (1 - F.cosine_similarity(mine_BC, theirs_BC, dim=1)).mean()


def as_map(feature: Tensor, like: Tensor) -> Tensor:
    """Tokens as a map: (B, L, C) to (B, C, H, W); a (B, C, H, W) map is returned as it is.

    Args:
        feature: a map, or tokens in row order without a class token.
        like: the other network's feature of the same image. Where it is a map its H:W gives the aspect ratio;
            where it is made of tokens too, a square is assumed.

    Raises:
        RequestError: neither shape, or L tokens that do not fill a grid of that aspect ratio.
    """
    if feature.ndim == 4:
        return feature
    if feature.ndim != 3:
        raise RequestError(
            f"a tapped feature has shape {tuple(feature.shape)}: tap a layer that gives a map (B, C, H, W) "
            "or tokens (B, L, C)"
        )
    tokens = feature.shape[1]
    tall, wide = like.shape[2:] if like.ndim == 4 else (1, 1)
    height = max(1, round(math.sqrt(tokens * tall / wide)))
    width = tokens // height
    if height * width != tokens or abs(height * wide - width * tall) >= max(tall, wide):
        raise RequestError(
            f"{tokens} tokens do not fill a grid with sides {tall}:{wide}: tap a layer without class tokens, "
            "or train on square images"
        )
    return feature.transpose(1, 2).reshape(feature.shape[0], feature.shape[2], height, width)


def to_smaller(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps at the smaller height and the smaller width of the two, by adaptive average pooling.

    Pooling the finer map, rather than enlarging the coarser, asks the student for nothing that its teacher
    did not say. Averaging commutes with a 1x1 projector, so pooling before it changes
    nothing but the cost.

    Args:
        student: (B, C, H, W).
        teacher: (B, C', H', W').
    """
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return _pooled(student, size), _pooled(teacher, size)


class FeatureMatching(nn.Module):
    """Mean squared distance from the student's projected features to the teacher's, mean over pairs of taps.

    Owns a 1x1 convolution for each pair; the objective gives them to the optimizer. Features may be maps (B, C, H, W)
    or tokens (B, L, C), see `as_map`, and of different strides, see `to_smaller`.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
        seed: int = 0,
        *,
        cosine_weight: float = 0.0,
        projection: Projection = "affine",
    ) -> None:
        """Build the projectors from a generator of their own, so that no other initialisation changes.

        Args:
            pairs: (student's tap, teacher's tap), names as in `Prediction.taps`.
            student_channels: channels C of the student's tap in each pair.
            teacher_channels: channels C of the teacher's tap in each pair.
            seed: gives the projectors' weights.
            cosine_weight: weight of `pooled_cosine` beside each pair's squared distance, >= 0.
            projection: `affine` has weights of variance 1 / student channels, normal, and biases that start at 0;
                `linear` has Glorot's uniform weights and no bias, as the capacity study has them.

        Raises:
            RequestError: no pair, as many channel counts as pairs are not given, a count below 1, or a weight below 0.
        """
        super().__init__()
        _check_pairs(pairs, student_channels, teacher_channels)
        check_weight("cosine_weight", cosine_weight)
        self.pairs, self.cosine_weight = tuple(pairs), cosine_weight
        generator = torch.Generator().manual_seed(seed)
        self.projectors = nn.ModuleList(
            _projector(channels, wanted, generator, projection)
            for channels, wanted in zip(student_channels, teacher_channels, strict=True)
        )

    def forward(self, outputs: StepOutputs) -> Tensor:
        """Scalar loss of the step's tapped features.

        Raises:
            RequestError: a tap that was not taken, or a feature that does not fit its projector.
        """
        taught = outputs.taught()
        losses = [
            _pair_loss(projector, _tap(outputs.student, mine), _tap(taught, theirs), self.cosine_weight)
            for projector, (mine, theirs) in zip(self.projectors, self.pairs, strict=True)
        ]
        return torch.stack(losses).mean()


def _pair_loss(projector: nn.Module, student: Tensor, teacher: Tensor, cosine_weight: float) -> Tensor:
    wide_student, wide_teacher = widened(student), widened(teacher).detach()
    small_student, small_teacher = to_smaller(as_map(wide_student, teacher), as_map(wide_teacher, student))
    with without_autocast(student):
        projected = _projected(projector, small_student)
        distance = feature_mse(projected, small_teacher)
        return distance + cosine_weight * pooled_cosine(projected, small_teacher) if cosine_weight else distance


def _projected(projector: nn.Module, feature: Tensor) -> Tensor:
    wanted = projector.get_parameter("weight").shape[1]
    if feature.shape[1] != wanted:
        raise RequestError(
            f"the student's tapped feature has {feature.shape[1]} channels and its projector takes {wanted}: "
            "give the channels of that tap"
        )
    projected: Tensor = projector(feature)
    return projected


def _pooled(feature: Tensor, size: tuple[int, int]) -> Tensor:
    return feature if tuple(feature.shape[2:]) == size else F.adaptive_avg_pool2d(feature, size)


def _tap(prediction: Prediction, name: str) -> Tensor:
    if name not in prediction.taps:
        raise RequestError(unknown_name("tap", name, prediction.taps))
    return prediction.taps[name]


def _projector(channels: int, wanted: int, generator: torch.Generator, projection: Projection) -> nn.Conv2d:
    # Through the meta device, where the layer's own initialisation draws nothing from the global generator.
    biased = projection == "affine"
    projector = nn.Conv2d(channels, wanted, kernel_size=1, bias=biased, device="meta").to_empty(device="cpu")
    if not biased:
        nn.init.xavier_uniform_(projector.weight, generator=generator)
        return projector
    nn.init.kaiming_normal_(projector.weight, nonlinearity="linear", generator=generator)
    nn.init.zeros_(projector.get_parameter("bias"))
    return projector


def _check_pairs(
    pairs: Sequence[tuple[str, str]], student_channels: Sequence[int], teacher_channels: Sequence[int]
) -> None:
    if not pairs:
        raise RequestError("feature matching has no pair of taps: give at least one (student tap, teacher tap)")
    if not len(pairs) == len(student_channels) == len(teacher_channels):
        raise RequestError(
            f"{len(pairs)} pairs of taps, {len(student_channels)} student and "
            f"{len(teacher_channels)} teacher channel counts: give one of each for every pair"
        )
    if min(*student_channels, *teacher_channels) < 1:
        raise RequestError(
            f"channel counts {list(student_channels)} and {list(teacher_channels)} must each be 1 or more"
        )
