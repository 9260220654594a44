"""The floor: the least a step can cost here. Tensors in place, no data, no logging, the fastest way known of each part.

Teacher: batch norms folded, weights in the step's precision. Student: autocast, channels_last, depthwise convolutions
rewritten, fused optimiser. Freed memory is kept. Either part eager and compiled: the faster counts, and the row says
which.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from densedistill.distill.fast.depthwise import rewrite_depthwise
from densedistill.distill.fast.folding import fold_batch_norms
from densedistill.distill.fast.inference_forms import rewrite
from densedistill.distill.features.taps import Tapped
from densedistill.distill.lessons.schedule import make_optimizer
from densedistill.distill.lessons.step import DistillationStep
from densedistill.distill.machine.allocator import keep_freed_memory
from densedistill.distill.objective import Objective
from densedistill.distill.outputs import Batch, Prediction
from densedistill.tools.benchmark_machine import median_seconds
from densedistill.tools.benchmark_workload import Workload

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Answer = tuple[Tensor, dict[str, Tensor]]
"""The teacher's output and its taps."""
Ask = Callable[[Tensor], Answer]
Learn = Callable[[Batch, Prediction], dict[str, Tensor]]


class FloorRow:
    """Teacher forward, student forward and backward, optimiser step, on one batch that never moves."""

    runs_teacher = True

    def __init__(self, workload: Workload) -> None:
        self.device, self.precision = workload.device, workload.precision
        if self.device.type == "cpu":
            keep_freed_memory()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        pair = workload.pair()
        batch = workload.sample(workload.batch_size)
        self.batch: Batch = {**batch, "input": batch["input"].to(memory_format=torch.channels_last)}
        self.asked = batch.get("teacher_input", self.batch["input"]).to(DTYPES[self.precision])

        ask = fast_teacher(pair.teacher, pair.teacher_taps, self.asked)
        asks = {"eager": ask, **(compiled_teachers(ask, self.device) if workload.compile else {})}
        taught = faster({name: self._answering(way) for name, way in asks.items()}, self.device)
        self.answer = self._answering(asks[taught.name])

        rewrite_depthwise(pair.student)
        step = DistillationStep(pair.student, pair.student_taps, Objective(pair.terms))
        step.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(workload.recipe, step.parameters())
        ways: dict[str, Learn] = {"eager": step, **(compiled_students(step, self.device) if workload.compile else {})}
        known = self.answer()
        trained = faster({name: self._training(way, lambda: known) for name, way in ways.items()}, self.device)
        self.step = self._training(ways[trained.name], self.answer)
        self.notes = (f"teacher {taught.note}", f"student {trained.note}")

    def steps(self, count: int) -> None:
        """Take `count` steps."""
        for _ in range(count):
            self.step()

    def close(self) -> None:
        """Nothing was started."""

    def _answering(self, ask: Ask) -> Callable[[], Prediction]:
        def answer() -> Prediction:
            with torch.no_grad():
                output, taps = ask(self.asked)
            # A compiled teacher's next call may write where this one's answer lies.
            return Prediction(output=output.float().clone(), taps={path: tap.clone() for path, tap in taps.items()})

        return answer

    def _training(self, learn: Learn, answer: Callable[[], Prediction]) -> Callable[[], None]:
        def step() -> None:
            taught = answer()
            with self._autocast():
                total = learn(self.batch, taught)["total"]
            self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()

        return step

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, DTYPES[self.precision])


class TeacherRow(FloorRow):
    """The teacher's forward pass alone."""

    def steps(self, count: int) -> None:
        """Answer the batch `count` times."""
        for _ in range(count):
            self.answer()


class Choice:
    """The fastest of several ways to do the same."""

    def __init__(self, seconds: dict[str, float], failed: dict[str, str]) -> None:
        self.name = min(seconds, key=lambda name: seconds[name])
        times = [f"{name} {value * 1000:.1f} ms" for name, value in seconds.items()]
        self.note = f"{self.name} ({', '.join([*times, *(f'{name} failed: {why}' for name, why in failed.items())])})"


def faster(ways: dict[str, Callable[[], object]], device: torch.device) -> Choice:
    """Time each way; one that fails is out, and the note says why. The first must not fail."""
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    for name, way in ways.items():
        try:
            seconds[name] = median_seconds(way, device)
        except Exception as error:
            # Compilers raise whatever their stages raise; without one that works, eager is the fastest way here.
            if not seconds:
                raise
            failed[name] = str(error).strip().partition("\n")[0]
    return Choice(seconds, failed)


def fast_teacher(teacher: nn.Module, taps: tuple[str, ...], example: Tensor) -> Ask:
    """`teacher` with its norms folded (but for tapped modules), rewritten where its modules offer faster forms, and its
    weights in the type of `example`."""
    fold_batch_norms(teacher, example.float(), keep=taps)
    if example.dtype != torch.float32:
        rewrite(teacher, taps, example.device, example.dtype)
    teacher.to(dtype=example.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    tapped = Tapped(teacher, taps)

    def ask(images: Tensor) -> Answer:
        answer = tapped(images)
        return answer.output, dict(answer.taps)

    return ask


def compiled_teachers(ask: Ask, device: torch.device) -> dict[str, Ask]:
    """Ways to compile the teacher's forward pass: with constants frozen on a CPU, as CUDA graphs on a GPU."""
    if device.type == "cuda":
        return {"compiled": torch.compile(ask, dynamic=False, mode="reduce-overhead")}
    options: dict[str, Any] = {"freezing": True}
    return {"compiled": torch.compile(ask, dynamic=False, options=options)}


def compiled_students(step: nn.Module, device: torch.device) -> dict[str, Learn]:
    """Ways to compile the student's step."""
    ways: dict[str, Learn] = {"compiled": torch.compile(step, dynamic=False)}
    if device.type == "cuda":
        ways["graphs"] = torch.compile(step, dynamic=False, mode="reduce-overhead")
    return ways
