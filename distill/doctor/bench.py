"""An arm set up as its training will set it up, with one batch, in a folder that is thrown away."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from densedistill.distill.arm import Arm
from densedistill.distill.assembly import Assembler
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.machine.runtime import Runtime
from densedistill.distill.outputs import Batch, Prediction, StepOutputs
from densedistill.distill.probe import sample_batch
from densedistill.distill.progress import SilentLog
from densedistill.distill.run_dir import ArmDir
from densedistill.distill.surroundings import Surroundings

BENCH_IMAGES = 16
"""Most images of the batch: enough for statistics of a batch, few enough to be cheap."""


TRIES = 12
"""Steps that are asked for before one is taken: fp16's scaler begins at 2^16, and halves that after each overflow."""
_FP16_SCALES = (2.0**10, 2.0**5, 1.0)
"""Of the loss, for its gradient: at the first one small gradients do not underflow, and most large ones are finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """An arm on the bench. What it is asked to do leaves its traces in the arm's network."""

    training: ArmTraining
    batch: Batch
    """A few training images."""
    taught: Prediction | None
    """The teacher's answer to `batch`; None where no term needs one."""

    @property
    def arm(self) -> Arm:
        """The arm."""
        return self.training.arm

    def outputs(self) -> StepOutputs:
        """A step's outputs late in training, where every warm-up is over; as training computes them, with autograd."""
        self.training.begin_epoch()
        with self.training.runtime.autocast():
            return self.training.step_module.outputs(self.batch, self.taught, float(self.arm.recipe.epochs))

    def losses(self, outputs: StepOutputs) -> dict[str, Tensor]:
        """Unweighted losses by term, as training computes them."""
        with self.training.runtime.autocast():
            losses: dict[str, Tensor] = self.training.objective(outputs)
        return losses

    def step(self, at: int) -> None:
        """One optimiser step with the learning rate and the warm-ups of step `at`."""
        self.training.begin_epoch()
        self.training.counters.step = at
        self.training.take_step(self.batch, self.taught)


@contextlib.contextmanager
def on_bench(chain: Assembler, arm: Arm, images: int = BENCH_IMAGES) -> Iterator[Bench]:
    """Put `arm` on the bench with a batch of `images`, or of as many as its recipe takes, if those are fewer."""
    data = chain.data_for(arm.plan)
    share = -(-arm.recipe.batch_size // chain.runtime.processes)
    batch = sample_batch(data, min(share, images), chain.runtime)
    around = Surroundings(
        spec=chain.resolved.spec,
        data=data,
        options=chain.resolved.options,
        runtime=chain.runtime,
        log=SilentLog(),
        on_epoch=lambda _line: None,
        on_start=lambda _arm, _epochs, _steps: None,
        speed=chain.resolved.config.speed,
    )
    with tempfile.TemporaryDirectory(prefix="densedistill-") as folder:
        training = ArmTraining(arm, ArmDir(Path(folder)), around)
        try:
            needed = arm.teacher is not None and training.objective.needs_teacher
            taught = arm.teacher(batch) if arm.teacher is not None and needed else None
            yield Bench(training=training, batch=batch, taught=taught)
        finally:
            training.close()


def gradients(loss: Tensor, values: Sequence[Tensor], runtime: Runtime) -> list[Tensor | None]:
    """The gradient of `loss` with respect to each of `values`, None where it does not depend on it; the graph is kept.

    In fp16 it is taken of the scaled loss, as in training, and scaled back: much of it would underflow.
    """
    found: list[Tensor | None] = []
    for scale in _FP16_SCALES if runtime.precision == "fp16" else (1.0,):
        scaled = torch.autograd.grad(loss * scale, values, retain_graph=True, allow_unused=True)
        found = [None if gradient is None else gradient / scale for gradient in scaled]
        if all(gradient is None or bool(gradient.isfinite().all()) for gradient in found):
            break
    return found


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's state."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: nn.Module) -> list[str]:
    """Names of what is no longer as it was."""
    return [name for name, value in module.state_dict().items() if not torch.equal(before[name], value)]
