"""The frozen teacher: in evaluation mode, outside autograd, never part of a student's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict

import torch
from torch import Tensor, nn

from densedistill.distill.configuration.speed import Speed
from densedistill.distill.fast.int8 import Int8Teacher, quantise_teacher
from densedistill.distill.fast.prepared import PreparedTeacher
from densedistill.distill.fast.teacher import TeacherOptions, prepare_teacher
from densedistill.distill.features.taps import Tapped
from densedistill.distill.machine.runtime import Runtime
from densedistill.distill.outputs import Batch, Prediction


class Teacher:
    """A network that only answers. Its input is the batch's `teacher_input` where there is one."""

    def __init__(
        self,
        name: str,
        network: nn.Module,
        taps: Sequence[str],
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self.name = name
        self.network = network.eval().requires_grad_(False)
        self.taps = tuple(taps)
        self._autocast = autocast
        self._tapped = Tapped(self.network, taps)
        self.prepared: PreparedTeacher | Int8Teacher | None = None
        """The copy that answers in the network's place, once `prepare` or `quantise` has made it."""

    def prepare(self, batch: Batch, speed: Speed, runtime: Runtime, say: Callable[[str], None]) -> None:
        """Take the shortcuts of `speed` that are exact enough on `batch`; `say` is told what is left out."""
        options = TeacherOptions(
            fold_batch_norm=speed.fold_batch_norm,
            half_teacher=speed.half_teacher,
            rewrite_teacher=speed.rewrite_teacher,
            channels_last=speed.channels_last,
        )
        self.prepared = prepare_teacher(
            self.network, self.taps, teacher_input(batch), options, runtime.device, runtime.precision, say
        )

    def quantise(self, calibration: Sequence[Batch], held: Sequence[Batch], runtime: Runtime) -> None:
        """Answer in 8-bit integers, with ranges from `calibration`; the agreement is measured on `held`.

        Raises:
            RequestError: this teacher, or this machine, cannot.
        """
        self.prepared = quantise_teacher(
            self.network,
            [teacher_input(batch) for batch in calibration],
            [teacher_input(batch) for batch in held],
            device=runtime.device,
            taps=self.taps,
        )

    def __call__(self, batch: Batch) -> Prediction:
        """The teacher's prediction for `batch`, as ordinary tensors that need no gradient; the output is float32."""
        answer = self._answer(teacher_input(batch))
        # An inference tensor may not be saved for backward, which a loss has to do; a copy made outside may.
        return Prediction(
            output=answer.output.clone().float(),
            taps={path: feature.clone() for path, feature in answer.taps.items()},
        )

    def _answer(self, images: Tensor) -> Prediction:
        if self.prepared is not None:
            return self.prepared(images)
        with torch.inference_mode(), self._autocast():
            return self._tapped(images)

    @property
    def shortcuts(self) -> tuple[str, ...]:
        """What it takes to answer sooner; empty for the plain float32 teacher."""
        if self.prepared is None:
            return ()
        return ("int8",) if isinstance(self.prepared, Int8Teacher) else tuple(self.prepared.parts)

    def path(self) -> Mapping[str, object]:
        """How it answers, for the record: shortcuts taken, and how far they lead from the plain float32 teacher."""
        taken = {"shortcuts": list(self.shortcuts)}
        if isinstance(self.prepared, Int8Teacher):
            return {**taken, "agreement": asdict(self.prepared.agreement)}
        return {**taken, "deviations": {} if self.prepared is None else dict(self.prepared.deviations)}


def teacher_input(batch: Batch) -> Tensor:
    """The images that the teacher sees."""
    return batch.get("teacher_input", batch["input"])
