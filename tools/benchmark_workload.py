"""The work that all rows of a benchmark do: the same pair of networks, the same losses, the same views."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from densedistill import backbones
from densedistill.distill.arm_names import arm_name
from densedistill.distill.configuration.config import Request, Resolved, resolve
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.configuration.speed import EXACT
from densedistill.distill.data import TaskData, TrainSet
from densedistill.distill.dry_run import TrialChain
from densedistill.distill.errors import RequestError
from densedistill.distill.lessons.plan import Plan, epoch_plan
from densedistill.distill.lessons.streams import load_ahead
from densedistill.distill.machine.runtime import resolve_device, resolve_precision, start_runtime
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import Batch
from densedistill.distill.plugins import load_plugin
from densedistill.distill.progress import SilentLog
from densedistill.distill.run_dir import RunDir
from densedistill.distill.run_parts import RunParts
from densedistill.distill.spec import NetworkSpec, TaskSpec
from densedistill.tasks import get
from densedistill.tools.benchmark_data import sized, synthetic
from densedistill.tools.benchmark_request import BenchmarkRequest

TEACHER, STUDENT = 0, 1
"""Places in the chain."""

_STEPS_OF_A_PLAN = 1000
"""Batches that a loader is asked for at once: so many that starting it does not count."""
_PRESET = "paper"
_LEARNING_RATE = 1e-5
"""So small that thousands of steps on random labels stay finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Fresh networks, alike in every process that makes them, on the device, in fp32 and contiguous."""

    teacher: nn.Module
    """Frozen, in evaluation mode."""
    student: nn.Module
    """In training mode."""
    teacher_taps: tuple[str, ...]
    """Module paths whose outputs the losses read."""
    student_taps: tuple[str, ...]
    terms: tuple[LossTerm, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A resolved request with its data."""

    resolved: Resolved
    data: TaskData
    device: torch.device
    precision: Literal["fp32", "bf16", "fp16"]
    workers: int
    compile: bool

    @property
    def recipe(self) -> Recipe:
        """The student's recipe."""
        return self.resolved.config.recipe_of(2, pretrained=False)

    @property
    def batch_size(self) -> int:
        """Images in an optimiser step."""
        return self.recipe.batch_size

    @property
    def train(self) -> TrainSet:
        """Training views as the student takes them."""
        return self.data.for_arm(2, 1).train

    def spec(self, place: int) -> NetworkSpec:
        """The network at a place of the chain."""
        return self.resolved.config.networks[place]

    def teacher(self) -> nn.Module:
        """The teacher, with the same random weights whenever it is asked for."""
        return self._chain().network_of(arm_name(1, "teacher")).requires_grad_(False)

    def pair(self) -> Pair:
        """Teacher, student and the losses between them, as the engine puts them together but without shortcuts."""
        chain = self._chain()
        arm = chain.assemble(chain.plans[1]).arm
        return Pair(
            teacher=self.teacher(),
            student=arm.network.train(),
            teacher_taps=() if arm.teacher is None else arm.teacher.taps,
            student_taps=arm.spec.taps,
            terms=tuple(arm.terms),
        )

    def _chain(self) -> TrialChain:
        plain = {"generations": 2, "controls": (), "students": (), "speed": EXACT, "pretrained": "none"}
        config = self.resolved.config.model_copy(update=plain)
        parts = RunParts(
            resolved=dataclasses.replace(self.resolved, config=config),
            data=self.data,
            networks=backbones,
            runtime=start_runtime(str(self.device), self.precision),
            run_dir=RunDir(Path()),
            log=SilentLog(),
        )
        return TrialChain(parts)

    def sample(self, count: int) -> Batch:
        """`count` training images as one batch."""
        images = np.arange(count, dtype=np.int64) % len(self.train)
        plan = Plan(images=images, views=np.zeros(count, dtype=np.int64))
        return next(iter(self.train.batches([plan], seed=0, device=self.device)))

    def batches(self) -> Generator[Batch, None, None]:
        """Batches without end, loaded ahead; `close()` ends the loading."""
        yield from load_ahead(self.views(), lambda batch: batch.values(), self.device)

    def views(self) -> Iterator[Batch]:
        """Batches without end, made when they are asked for."""
        for turn in itertools.count():
            plans = epoch_plan(
                images=len(self.train),
                views=_STEPS_OF_A_PLAN * self.batch_size,
                batch_size=self.batch_size,
                seed=0,
                epoch=turn,
            )
            yield from self.train.batches(plans, seed=0, device=self.device)


def prepare(request: BenchmarkRequest) -> Workload:
    """The workload that `request` asks for, with its data in memory.

    Raises:
        RequestError, DataError, NetworkError: the task, a network, a size or a field is wrong.
    """
    for plugin in request.plugins:
        load_plugin(plugin)
    resolved = _resolved(get(request.task), request)
    data = synthetic(resolved.options, request.images, request.classes) if request.synthetic else None
    device = resolve_device(resolved.config.device)
    workload = Workload(
        resolved=resolved,
        data=data or resolved.spec.load_data(resolved.options),
        device=device,
        precision=resolve_precision(resolved.config.precision, device),
        workers=request.workers,
        compile=request.compile,
    )
    if len(workload.resolved.config.networks) < 2:
        raise RequestError(f"task '{request.task}' has a chain of one network: name a --student.")
    return workload


def _resolved(spec: TaskSpec, request: BenchmarkRequest) -> Resolved:
    preset = request.preset or (_PRESET if _PRESET in spec.presets else next(iter(spec.presets)))
    flags: list[tuple[str, object]] = [
        ("device", request.device),
        ("precision", request.precision),
        ("recipe.learning_rate", _LEARNING_RATE),
    ]
    if request.batch_size is not None:
        flags.append(("recipe.batch_size", request.batch_size))
    if preset in spec.presets:
        flags += sized(spec.presets[preset].data, request.image_size)
    return resolve(
        spec,
        Request(
            preset=preset,
            method=request.method,
            teacher=request.teacher,
            student=request.student,
            settings=[*flags, *request.settings],
        ),
    )
