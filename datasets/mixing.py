"""Mixup and CutMix of whole batches. The result is a pure function of (plan, seed).

Where a plan names its views, `view_mixing` takes the place of `mix_batch`.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from densedistill.datasets.base import Batch, ViewPlan
from densedistill.datasets.frozen import FROZEN
from densedistill.datasets.views import uniform


class Mixing(BaseModel):
    """Mixup (Zhang et al., 2018) or CutMix (Yun et al., 2019): the kept share is drawn from Beta(beta, beta)."""

    model_config = FROZEN

    beta: float = Field(default=1.0, gt=0)


def mix_batch(
    batch: Batch,
    plan: ViewPlan,
    *,
    mixup: Mixing | None,
    cutmix: Mixing | None,
    probability: float,
    seed: int,
) -> Batch:
    """Mix each image with a partner from the same batch; one method and one share for the whole batch.

    Args:
        batch: `input` (B, C, H, W) float and `target` (B,) int64 among others, which are passed on.
        plan: decides, with `seed`, over method, share, box and partners.
        mixup: its Beta distribution; None turns Mixup off.
        cutmix: its Beta distribution; None turns CutMix off. With both, each has probability 1/2.
        probability: share of batches that are mixed.
        seed: names the run's random numbers.

    Returns:
        The batch with mixed `input`, `mixed_target` (B,) int64 (the partners' labels) and `mix` (B,) float32, the
        share of `target`. A batch left unmixed has `mix` 1. Where both methods are off, `batch` as it is.
    """
    if mixup is None and cutmix is None:
        return batch
    mixed, method, share, *center = _batch_draws(plan, seed, 5)
    device = batch["input"].device
    partner = torch.from_numpy(partners(plan, seed)).to(device)
    inputs = batch["input"]
    kept = 1.0
    if mixed < probability:
        from scipy.special import betaincinv

        if cutmix is not None and (mixup is None or method < 0.5):
            lam = float(betaincinv(cutmix.beta, cutmix.beta, share))
            inputs, kept = _paste_box(inputs, inputs[partner], lam, (center[0], center[1]))
        elif mixup is not None:
            kept = float(betaincinv(mixup.beta, mixup.beta, share))
            inputs = kept * inputs + (1 - kept) * inputs[partner]
    return {
        **batch,
        "input": inputs,
        "mixed_target": batch["target"][partner],
        "mix": torch.full((len(partner),), kept, device=device),
    }


def cut_box(height: int, width: int, share: float, center: tuple[float, float]) -> tuple[int, int, int, int]:
    """The box (top, bottom, left, right) of CutMix, clipped to the image; Yun et al. 2019, eq. 2.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        share: area to keep, in [0, 1]; the box has the remaining share before it is clipped.
        center: vertical and horizontal place of the box's centre, as shares of the image in [0, 1).
    """
    ratio = (1 - share) ** 0.5
    half_height, half_width = int(height * ratio) // 2, int(width * ratio) // 2
    row, column = int(center[0] * height), int(center[1] * width)
    return (
        max(row - half_height, 0),
        min(row + half_height, height),
        max(column - half_width, 0),
        min(column + half_width, width),
    )


def partners(plan: ViewPlan, seed: int) -> np.ndarray:
    """(B,) int64: a permutation of the batch, which may leave an image its own partner."""
    return np.argsort(uniform(seed, plan.images, plan.views, "partner")[:, 0], kind="stable")


def _paste_box(inputs: Tensor, partner: Tensor, share: float, center: tuple[float, float]) -> tuple[Tensor, float]:
    """The inputs with the partners' box, and the share of area that is still their own."""
    height, width = inputs.shape[-2:]
    top, bottom, left, right = cut_box(height, width, share, center)
    pasted = inputs.clone()
    pasted[..., top:bottom, left:right] = partner[..., top:bottom, left:right]
    return pasted, 1 - (bottom - top) * (right - left) / (height * width)


def _batch_draws(plan: ViewPlan, seed: int, count: int) -> list[float]:
    """Numbers in [0, 1) that belong to the batch as a whole."""
    content = plan.images.astype("<i8").tobytes() + plan.views.astype("<i8").tobytes()
    key = np.frombuffer(hashlib.blake2b(content, digest_size=8).digest(), dtype="<u8")
    return [float(draw) for draw in uniform(seed, key, np.zeros(1, dtype=np.int64), "mixing", count)[0]]
