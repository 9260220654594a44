"""Mixup and CutMix that belong to the view: partner, share and box depend on (image, view, seed) and on nothing else.

A batch draws its partners from itself (`mixing.mix_batch`), so what an image is mixed with changes with its neighbours.
Here the partner is any view of any other training image, drawn for the view, and so is everything else: the mixed
pixels come back whenever the view does, in whatever batch. A view is then a name under which a teacher's answer can be
kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from densedistill.datasets.base import Batch, BatchPlan, ViewPlan
from densedistill.datasets.mixing import Mixing, cut_box
from densedistill.datasets.views import uniform

_PARTNER_VIEWS = 2**31
"""View numbers that partners are drawn from: so many that a partner hardly ever repeats."""


@dataclass(frozen=True, slots=True)
class ViewMixes:
    """How M of a batch's views are mixed."""

    rows: np.ndarray
    """(M,) int64: the mixed views' places in the batch."""
    partners: BatchPlan
    """(M) views of other images."""
    cut: np.ndarray
    """(M,) bool: CutMix; Mixup where it is False."""
    share: np.ndarray
    """(M,) float64 in [0, 1]: the share of itself that a view keeps, before CutMix's box is clipped."""
    centers: np.ndarray
    """(M, 2) float64 in [0, 1): CutMix's box centre, vertical and horizontal, as shares of the image."""

    def joined(self, plan: ViewPlan) -> BatchPlan:
        """(B + M) views to make: those of `plan`, then the partners."""
        return BatchPlan(
            np.concatenate([plan.images, self.partners.images]), np.concatenate([plan.views, self.partners.views])
        )


def draw_mixes(
    plan: ViewPlan, images: int, *, mixup: Mixing | None, cutmix: Mixing | None, probability: float, seed: int
) -> ViewMixes:
    """How each view of `plan` is mixed; each row is a pure function of its (image, view) and `seed`.

    Args:
        plan: B images and their views.
        images: in the training set. A partner is any of them but the view's own image, unless there is only one.
        mixup: its Beta distribution; None turns Mixup off.
        cutmix: its Beta distribution; None turns CutMix off. With both, each view has either with probability 1/2.
        probability: share of views that are mixed.
        seed: names the run's random numbers.
    """
    if mixup is None and cutmix is None:
        probability = 0.0
    draws = uniform(seed, plan.images, plan.views, "view mixing", 7)
    betas = [None if mixing is None else mixing.beta for mixing in (mixup, cutmix)]
    rows = np.flatnonzero(draws[:, 0] < probability)
    _, method, quantile, *center, partner, partner_view = draws[rows].T
    cut = np.full(len(rows), mixup is None) if None in betas else method < 0.5
    beta = np.where(cut, betas[1] or 1.0, betas[0] or 1.0)
    own = plan.images[rows]
    others = (partner * max(images - 1, 1)).astype(np.int64)
    return ViewMixes(
        rows=rows,
        partners=BatchPlan(
            others + (others >= own) if images > 1 else others, (partner_view * _PARTNER_VIEWS).astype(np.int64)
        ),
        cut=cut,
        share=_beta_quantiles(beta, quantile),
        centers=np.stack(center, axis=1),
    )


def _beta_quantiles(beta: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(M,) values that Beta(beta, beta) stays below with probability `share`; both arguments (M,)."""
    if not len(share):
        return share
    # A training without mixing comes here with every batch: it shall not pay for the import.
    from scipy.special import betaincinv

    quantiles: np.ndarray = betaincinv(beta, beta, share)
    return quantiles


def mix_views(batch: Batch, partners: Tensor, labels: Tensor, mixes: ViewMixes) -> Batch:
    """Mix the views of `batch` with their partners.

    Args:
        batch: `input` (B, C, H, W) float and `target` (B,) int64 among others, which are passed on.
        partners: (M, C, H, W), the partners' inputs.
        labels: (M,) int64, the partners' labels.
        mixes: how.

    Returns:
        The batch with mixed `input`, `mixed_target` (B,) int64 and `mix` (B,) float32, the share of `target`. A view
        left unmixed has `mix` 1 and its own label in both places.
    """
    inputs, device = batch["input"].clone(), batch["input"].device
    height, width = inputs.shape[-2:]
    boxes = _boxes(mixes, height, width)
    area = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
    kept = np.where(mixes.cut, 1 - area / (height * width), mixes.share)
    rows = torch.from_numpy(mixes.rows).to(device)
    outside = np.where(mixes.cut, 1.0, mixes.share).astype(np.float32)
    weight = _weights(torch.from_numpy(outside).to(device), torch.from_numpy(boxes).to(device), height, width)
    # Products and a sum, each rounded by itself, and no lerp, whose rounding depends on a pixel's place in memory.
    inputs[rows] = weight * inputs[rows] + (1 - weight) * partners
    mix = np.ones(len(inputs), dtype=np.float32)
    mix[mixes.rows] = kept
    return {
        **batch,
        "input": inputs,
        "mixed_target": batch["target"].index_copy(0, rows, labels),
        "mix": torch.from_numpy(mix).to(device),
    }


def _boxes(mixes: ViewMixes, height: int, width: int) -> np.ndarray:
    """(M, 4) int64: top, bottom, left and right of each box; Mixup's are empty."""
    boxes = np.zeros((len(mixes.rows), 4), dtype=np.int64)
    for place in np.flatnonzero(mixes.cut):
        center = (float(mixes.centers[place, 0]), float(mixes.centers[place, 1]))
        boxes[place] = cut_box(height, width, float(mixes.share[place]), center)
    return boxes


def _weights(outside: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """(M, 1, H, W): a view's own weight in each pixel, 0 in its box and `outside` (M,) around it."""
    down = torch.arange(height, device=boxes.device).view(1, -1, 1)
    across = torch.arange(width, device=boxes.device).view(1, 1, -1)
    top, bottom, left, right = boxes.view(-1, 4, 1, 1).unbind(1)
    inside = (down >= top) & (down < bottom) & (across >= left) & (across < right)
    return outside.view(-1, 1, 1, 1).where(~inside[:, None], 0.0)
