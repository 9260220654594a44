"""timm's own distillation task with everything it offers: bf16 autocast, channels_last and its `compile()`."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn

from densedistill.distill.errors import RequestError
from densedistill.distill.lessons.schedule import make_optimizer
from densedistill.tools.benchmark_workload import Workload

_NO_SHIFT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
"""Batches are normalised already. Where student and teacher declare the same statistics, timm's task leaves them."""


class TimmRow:
    """`timm.task.LogitDistillationTask` on our loader's batches, so that steps are compared and not loaders."""

    runs_teacher = True

    def __init__(self, workload: Workload) -> None:
        self.device, self.precision = workload.device, workload.precision
        how = "compiled" if workload.compile else "eager"
        self.notes = (f"timm {_version()}, {how}, channels_last, fused optimiser", *_left_out(workload))
        self.task = _task(workload)
        self.optimizer = make_optimizer(workload.recipe, self.task.trainable_module.parameters())
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.batches = workload.batches()

    def steps(self, count: int) -> None:
        """Take `count` steps."""
        for _ in range(count):
            batch = next(self.batches)
            images = batch["input"].to(memory_format=torch.channels_last)
            with self._autocast():
                loss = self.task(images, batch["target"])["loss"]
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()

    def close(self) -> None:
        """End the loader's thread."""
        self.batches.close()

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)


def _task(workload: Workload) -> Any:
    """The task, compiled, with the method's temperature and weights where it has such."""
    try:
        from timm.task import DistillationTeacher, LogitDistillationTask
    except ImportError:
        raise RequestError(
            f"row 'timm' needs timm.task, which timm {_version()} lacks: update timm, or leave the row out of --rows."
        ) from None
    pair = workload.pair()
    for network in (pair.teacher, pair.student):
        network.to(memory_format=torch.channels_last)
        network.pretrained_cfg = _NO_SHIFT  # type: ignore[assignment]
    alpha = getattr(workload.resolved.parameters, "alpha", 0.5)
    task = LogitDistillationTask(
        pair.student,
        DistillationTeacher(pair.teacher, device=workload.device),
        criterion=nn.CrossEntropyLoss(),
        distill_loss_weight=alpha,
        task_loss_weight=1 - alpha,
        temperature=getattr(workload.resolved.parameters, "temperature", 4.0),
        device=workload.device,
        verbose=False,
    )
    task.train()
    if workload.compile:
        task.compile()
    return task


def _left_out(workload: Workload) -> tuple[str, ...]:
    names = [method.name for method, _parameters in workload.resolved.methods]
    return () if names == ["kd"] else (f"timm's task has KD alone: this row leaves out what {' + '.join(names)} adds",)


def _version() -> str:
    import timm

    return str(timm.__version__)
