"""Which places of an image resemble each other.

Shapes: B images, C channels, H by W positions, N nodes.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.alignment import aligned
from densedistill.distill.losses.precision import without_autocast
from densedistill.distill.losses.vectors import unit

MOST_NODES = 576
"""Places compared in an image: (N, N) similarities of each network take 1.3 MB of it."""


def affinity_loss(student: Tensor, teacher: Tensor, nodes: int = MOST_NODES) -> Tensor:
    """Pair-wise distillation: mean squared difference of the cosine similarities of all pairs of places.

    Liu, Chen, Liu, Qin, Luo and Wang, "Structured Knowledge Distillation for Semantic Segmentation", CVPR 2019,
    arXiv:1903.04197, section 3.1 (pair-wise distillation): a_ij = f_iᵀ f_j / (|f_i| |f_j|), mean over i and j of
    (a_ij of the student - a_ij of the teacher)². Maps are averaged to a grid of at most `nodes` places first, as the
    paper's later form (TPAMI 2020) does, so that memory does not grow with the fourth power of the image's side.

    Args:
        student: (B, C, H, W), or tokens (B, L, C).
        teacher: (B, C', H', W'), or tokens (B, L', C'); a constant. The channels need not agree.
        nodes: most places of the grid, >= 2.

    Returns:
        Scalar in [0, 4], dimensionless.

    Raises:
        RequestError: features that cannot be aligned, or fewer than two nodes.
    """
    if nodes < 2:
        raise RequestError(f"affinity compares places with each other and has {nodes} nodes: give 2 or more")
    small_student, small_teacher = aligned(student, teacher)
    grid = grid_within(small_student.shape[2], small_student.shape[3], nodes)
    return (_similarity(small_student, grid) - _similarity(small_teacher, grid)).square().mean()


def grid_within(height: int, width: int, nodes: int) -> tuple[int, int]:
    """The largest grid of at most `nodes` places in about the shape of height x width, and no finer than that."""
    if height * width <= nodes:
        return height, width
    rows = min(height, nodes, max(1, math.floor(math.sqrt(nodes * height / width))))
    return rows, min(width, max(1, nodes // rows))


def _similarity(feature: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, C, H, W), averaged to the grid, to cosines (B, N, N)."""
    vectors_BNC = unit(F.adaptive_avg_pool2d(feature, grid).flatten(2).transpose(1, 2))
    with without_autocast(feature):
        return vectors_BNC @ vectors_BNC.transpose(1, 2)
