"""Which views an epoch is made of, in which order, and which process takes which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from densedistill.distill.errors import RequestError
from densedistill.distill.seeds import derive


@dataclass(frozen=True, slots=True)
class Plan:
    """One process's part of one batch."""

    images: np.ndarray
    """(B,) int64 places in the training set."""
    views: np.ndarray
    """(B,) int64 view numbers: no image meets the same number twice in a run, unless views are named."""
    named: bool = False
    """Whether (image, view) names the pixels and targets whatever the rest of the batch is, so that a teacher's answer
    to a view can be kept. Mixup and CutMix then belong to the view and not to the batch."""


def steps_per_epoch(images: int, views: int | None, batch_size: int) -> int:
    """Optimiser steps in an epoch: whole batches only, and at least one."""
    return max((views or images) // batch_size, 1)


def epoch_plan(
    *,
    images: int,
    views: int | None,
    batch_size: int,
    seed: int,
    epoch: int,
    rank: int = 0,
    processes: int = 1,
    cycle: int | None = None,
) -> list[Plan]:
    """The batches of `epoch`, a pure function of the arguments.

    Every image comes once before any comes twice. `batch_size` counts over all processes; process `rank` takes every
    `processes`-th place of a batch, so that the joined batch does not depend on their number. With `cycle`, view
    numbers are taken modulo it and name their views: an image has `cycle` of them, met in turn. Order and images stay
    as they are without it.

    Raises:
        RequestError: `cycle` is below 1.
    """
    if cycle is not None and cycle < 1:
        raise RequestError(f"views in a cycle are {cycle}, which leaves no view to train on: give 1 or more, or None.")
    wanted = views or images
    rounds = -(-wanted // images)
    order = np.concatenate(
        [
            np.random.default_rng(derive(seed, "order", epoch, turn)).permutation(images).astype(np.int64)
            for turn in range(rounds)
        ]
    )
    numbers = np.repeat(np.arange(rounds, dtype=np.int64) + epoch * rounds, images)
    if cycle is not None:
        numbers %= cycle
    plans = []
    for step in range(steps_per_epoch(images, views, batch_size)):
        part = slice(step * batch_size + rank, min((step + 1) * batch_size, wanted), processes)
        plans.append(Plan(order[part], numbers[part], named=cycle is not None))
    return plans
