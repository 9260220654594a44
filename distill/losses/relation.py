"""Relations between the images of a batch, which two networks share whatever their features' sizes.

Shapes: B images; a feature has B rows and any further axes, which are flattened. Teachers' features are constants.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.losses.checks import check_images, check_same_images, check_weight
from densedistill.distill.losses.precision import without_autocast
from densedistill.distill.losses.vectors import flattened, unit

_EPSILON = 1e-7


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Similarity preserving: mean squared difference of the matrices F Fᵀ, each row at unit length.

    Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, section 3. The paper and the
    field take the last map before the pooling, with a weight of 3000.

    Args:
        student: (B, ...), F.
        teacher: (B, ...).

    Returns:
        Scalar in [0, 4 / B], dimensionless.

    Raises:
        RequestError: fewer than two images, or different images.
    """
    mine, theirs = _rows(student, teacher, 2, "an image is as similar to itself in every network")
    with without_autocast(mine):
        return (unit(mine @ mine.T) - unit(theirs @ theirs.T)).square().mean()


def pkt_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Probabilistic knowledge transfer: mean of p log(p / q) over pairs of images.

    Passalis and Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, section 3
    with the cosine kernel (cos + 1) / 2. Each row of a network's kernel matrix divided by its sum gives p of the
    teacher and q of the student. As in the authors' code, the pair of an image with itself counts, the loss is a
    mean over B² pairs in place of a sum, and both have 1e-7 added under the logarithm; the field's weight of 30000
    is meant for that mean.

    Args:
        student: (B, ...); the paper takes the pooled feature.
        teacher: (B, ...).

    Returns:
        Scalar >= 0, nats for each pair.

    Raises:
        RequestError: fewer than two images, or different images.
    """
    mine, theirs = _rows(student, teacher, 2, "a single image has probability 1 in every network")
    with without_autocast(mine):
        q, p = _cosine_probabilities(mine), _cosine_probabilities(theirs)
    return (p * ((p + _EPSILON) / (q + _EPSILON)).log()).mean()


def rkd_loss(student: Tensor, teacher: Tensor, distance_weight: float = 25.0, angle_weight: float = 50.0) -> Tensor:
    """Relational distillation: weighted sum of `rkd_distance_loss` and `rkd_angle_loss`.

    Park, Kim, Lu and Cho, "Relational Knowledge Distillation", CVPR 2019, section 3.2; the paper weighs angles
    twice as much as distances, and 25 and 50 are its weights for classification.

    Args:
        student: (B, ...); the paper takes the pooled feature.
        teacher: (B, ...).
        distance_weight: >= 0.
        angle_weight: >= 0.

    Returns:
        Scalar >= 0, dimensionless.

    Raises:
        RequestError: a negative weight, fewer than three images, or different images.
    """
    check_weight("the weight of RKD's distances", distance_weight)
    check_weight("the weight of RKD's angles", angle_weight)
    distances, angles = rkd_distance_loss(student, teacher), rkd_angle_loss(student, teacher)
    return distance_weight * distances + angle_weight * angles


def rkd_distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between both networks' distances of pairs of images, each over its mean.

    Park et al. 2019, section 3.2.1. The mean is of the distances above 0 in the batch; the loss is a mean over all
    B² pairs, with the Huber loss's bend at 1, as in the authors' code.

    Args:
        student: (B, D) or (B, ...).
        teacher: (B, D') or (B, ...).

    Returns:
        Scalar >= 0, dimensionless.

    Raises:
        RequestError: fewer than three images, or different images.
    """
    why = "of two images the only distance over its mean is always 1"
    mine, theirs = _rows(student, teacher, 3, why)
    with without_autocast(mine):
        return F.smooth_l1_loss(_relative_distances(mine), _relative_distances(theirs))


def rkd_angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between both networks' cosines of the angles that triples of images form.

    Park et al. 2019, section 3.2.2; mean over all B³ triples, degenerate ones (cosine 0 or 1) included, as in the
    authors' code. Takes memory for B² D numbers.

    Args:
        student: (B, D) or (B, ...).
        teacher: (B, D') or (B, ...).

    Returns:
        Scalar >= 0, dimensionless.

    Raises:
        RequestError: fewer than three images, or different images.
    """
    mine, theirs = _rows(student, teacher, 3, "it takes three images to form an angle")
    with without_autocast(mine):
        return F.smooth_l1_loss(_cosines(mine), _cosines(theirs))


def _rows(student: Tensor, teacher: Tensor, images: int, why: str) -> tuple[Tensor, Tensor]:
    check_same_images(student, teacher)
    check_images(student, images, why)
    return flattened(student), flattened(teacher).detach()


def _cosine_probabilities(rows: Tensor) -> Tensor:
    directions = unit(rows)
    kernel = (directions @ directions.T + 1) / 2
    return kernel / kernel.sum(dim=1, keepdim=True)


def _relative_distances(rows: Tensor) -> Tensor:
    # Differences first: a distance from |x|² + |y|² - 2xy loses its digits where images lie close together.
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    positive = (distances > 0).sum()
    mean = distances.sum() / positive.clamp_min(1)
    return distances / torch.where(positive > 0, mean, 1.0)


def _cosines(rows: Tensor) -> Tensor:
    """Cosine at image i between the directions to images j and k, (B, B, B)."""
    directions = unit(rows[None, :, :] - rows[:, None, :])
    return directions @ directions.transpose(1, 2)
