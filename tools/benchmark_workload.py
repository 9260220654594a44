"""The work that all rows of a benchmark do: the same pair of networks, the same losses, the same views."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from densedistill import backbones
from densedistill.distill.config import Request, Resolved, resolve
from densedistill.distill.data import TaskData
from densedistill.distill.errors import RequestError
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import Batch
from densedistill.distill.plan import Plan, epoch_plan
from densedistill.distill.plugins import load_plugin
from densedistill.distill.prefetch import prefetch
from densedistill.distill.probe import shapes
from densedistill.distill.recipe import Recipe
from densedistill.distill.runtime import resolve_device, resolve_precision
from densedistill.distill.spec import NetworkSpec, TaskSpec, TermContext
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
    """Fresh networks, alike in every process that makes them, on the device and as their builders leave them."""

    teacher: nn.Module
    student: nn.Module
    terms: tuple[LossTerm, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A resolved request with its data."""

    resolved: Resolved
    data: TaskData
    device: torch.device
    precision: str
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

    def spec(self, place: int) -> NetworkSpec:
        """The network at a place of the chain."""
        return self.resolved.config.networks[place]

    def network(self, place: int) -> nn.Module:
        """The network at a place of the chain, with the same random weights whenever it is asked for."""
        spec = self.spec(place)
        derived = self.resolved.spec.network_arguments(spec.name, self.resolved.options, self.data)
        with torch.random.fork_rng():
            torch.manual_seed(place)
            built = backbones.build(spec.name, {**derived, **spec.arguments}, pretrained="none")
        return built.module.to(self.device)

    def pair(self) -> Pair:
        """Teacher (frozen, in evaluation mode), student (in training mode) and the method's loss terms."""
        teacher, student = self.network(TEACHER).eval().requires_grad_(False), self.network(STUDENT).train()
        batch = self.sample(2)
        context = TermContext(
            has_teacher=True,
            student_taps=shapes(student, self.spec(STUDENT).taps, batch).taps,
            teacher_taps=shapes(teacher, self.spec(TEACHER).taps, batch).taps,
            seed=0,
            pretrained="none",
            warn=lambda _text: None,
        )
        terms = tuple(self.resolved.method.terms(self.resolved.parameters, context))
        return Pair(teacher=teacher, student=student, terms=terms)

    def sample(self, count: int) -> Batch:
        """`count` training images as one batch."""
        images = np.arange(count, dtype=np.int64) % len(self.data.train)
        plan = Plan(images=images, views=np.zeros(count, dtype=np.int64))
        return next(iter(self.data.train.batches([plan], seed=0, device=self.device)))

    def batches(self) -> Generator[Batch, None, None]:
        """Batches without end, loaded ahead; `close()` ends the loading."""
        yield from prefetch(self.views())

    def views(self) -> Iterator[Batch]:
        """Batches without end, made when they are asked for."""
        for turn in itertools.count():
            plans = epoch_plan(
                images=len(self.data.train),
                views=_STEPS_OF_A_PLAN * self.batch_size,
                batch_size=self.batch_size,
                seed=0,
                epoch=turn,
            )
            yield from self.data.train.batches(plans, seed=0, device=self.device)


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
