"""Looking at an arm before it trains: some of its images, and what a step keeps in memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from densedistill.distill.arm import Arm
from densedistill.distill.data import TaskData
from densedistill.distill.lessons.plan import Plan
from densedistill.distill.lessons.step import DistillationStep
from densedistill.distill.machine.memory import PROBE_IMAGES, MemoryEstimate, SavedBytes, fixed_bytes, storages
from densedistill.distill.machine.runtime import Runtime
from densedistill.distill.objective import Objective
from densedistill.distill.outputs import Batch

PROBE_SEED = 0
"""Of views that are only looked at: arms train with seeds of their own."""


def sample_batch(data: TaskData, count: int, runtime: Runtime) -> Batch:
    """The first `count` training images as a training batch."""
    return next(sample_batches(data, 1, count, runtime))


def sample_batches(data: TaskData, batches: int, size: int, runtime: Runtime) -> Iterator[Batch]:
    """The first training images as `batches` training batches of `size`."""
    places = np.arange(batches * size, dtype=np.int64) % len(data.train)
    plans = [Plan(images=part, views=np.zeros(size, dtype=np.int64)) for part in np.split(places, batches)]
    return data.train.batches(plans, seed=PROBE_SEED, device=runtime.device)


def estimate_memory(arm: Arm, batch: Batch, runtime: Runtime) -> MemoryEstimate:
    """What one step of `arm` keeps, from two forward passes on a copy of its network.

    `batch` has `PROBE_IMAGES` images or more. What the second pass keeps beyond the first is what its images cost; the
    rest, such as weights cast to bf16, is kept once whatever the batch.
    """
    # Copies: the passes would leave their traces in batch-norm's statistics and in a method's memory of images.
    objective, network = copy.deepcopy(Objective(arm.terms)), copy.deepcopy(arm.network).to(runtime.device)
    taps = arm.spec.taps if objective.needs_teacher else ()
    step = DistillationStep(network, taps, objective).to(runtime.device)
    step.train()
    few, more = (_saved_bytes(step, arm, batch, count, runtime) for count in (PROBE_IMAGES // 2, PROBE_IMAGES))
    step.close()
    per_image = max(more - few, 0) // (PROBE_IMAGES - PROBE_IMAGES // 2)
    constant = max(more - per_image * PROBE_IMAGES, 0)
    return MemoryEstimate(fixed=fixed_bytes(step, arm.recipe.optimizer) + constant, per_image=per_image)


def _saved_bytes(step: DistillationStep, arm: Arm, batch: Batch, count: int, runtime: Runtime) -> int:
    """What autograd keeps of a step on the first `count` images of `batch`."""
    part = {key: value[:count].clone() for key, value in batch.items()}
    taught = arm.teacher(part) if arm.teacher is not None and step.objective.needs_teacher else None
    with SavedBytes(ignored=storages(step)) as saved, runtime.autocast():
        step(part, taught)
    return saved.bytes
