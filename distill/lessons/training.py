"""Training one arm: its step, what follows an epoch, and its state for a restart."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.hooks import RemovableHandle

from densedistill.distill.arm import Arm
from densedistill.distill.errors import RunFailedError
from densedistill.distill.evaluation import Evaluation
from densedistill.distill.fast.depthwise import rewrite_depthwise
from densedistill.distill.fast.padding_taps import guard_padding_taps
from densedistill.distill.lessons.batch_norm import average_statistics, freeze_statistics
from densedistill.distill.lessons.checkpoint import Checkpoint, Stateful
from densedistill.distill.lessons.clipping import clip_gradients
from densedistill.distill.lessons.counters import Counters, Meter
from densedistill.distill.lessons.micro_batches import pieces
from densedistill.distill.lessons.plan import steps_per_epoch
from densedistill.distill.lessons.schedule import Schedule, make_optimizer
from densedistill.distill.lessons.step import DistillationStep
from densedistill.distill.lessons.supervision import Supervision
from densedistill.distill.machine.memory import PROBE_IMAGES
from densedistill.distill.machine.runtime import place, synchronise
from densedistill.distill.objective import Objective
from densedistill.distill.outputs import Batch, Prediction
from densedistill.distill.probe import sample_batch
from densedistill.distill.run_dir import ArmDir
from densedistill.distill.seeds import derive
from densedistill.distill.surroundings import Surroundings

READ_EVERY = 20
"""Steps between two reads of the loss from an accelerator: each one waits for the device."""


class ArmTraining:
    """One arm's training, driven by a `Lesson`. A new object on the same folder goes on from the saved state."""

    def __init__(self, arm: Arm, folder: ArmDir, around: Surroundings) -> None:
        self.arm, self.folder, self.around = arm, folder, around
        self.recipe, self.runtime = arm.recipe, around.runtime
        self.objective = Objective(arm.terms)
        self.counters = Counters()
        self.supervision = Supervision(arm, around, self.counters)
        self.meter = Meter(self.runtime.device)

        taps = arm.spec.taps if self.objective.needs_teacher else ()
        self.step_module = DistillationStep(arm.network, taps, self.objective)
        place(self.step_module, self.runtime.device, channels_last=around.speed.channels_last)
        self.trainable = [value for value in self.step_module.parameters() if value.requires_grad]
        self.average = self._make_average()
        accelerator = self.runtime.accelerator
        if self.runtime.scaler_start is not None:
            accelerator.scaler.load_state_dict(self.runtime.scaler_start)
        self.module = accelerator.prepare_model(self.step_module)
        self.optimizer = accelerator.prepare_optimizer(
            make_optimizer(self.recipe, self.trainable, fused=around.speed.fused_optimizer)
        )
        self.steps_per_epoch = steps_per_epoch(
            len(around.data.train), self.recipe.views_per_epoch, self.recipe.batch_size
        )
        self.schedule = Schedule(
            self.recipe,
            self.optimizer,
            self.steps_per_epoch,
            higher_is_better=around.spec.metric.higher_is_better,
        )
        self._guards = self._guard_gradients()
        self._rewrite = rewrite_depthwise(arm.network) if around.speed.rewrite_depthwise else None
        self.checkpoint = Checkpoint(folder.state / "state.pt", self._parts(), self.runtime.environment())

    @property
    def over(self) -> bool:
        """Whether the last epoch is done, or early stopping has ended the arm."""
        return self.counters.epoch >= self.recipe.epochs or self.counters.stopped is not None

    # -- a step -----------------------------------------------------------------------------------------------------

    def begin_epoch(self) -> None:
        """Put the network into training mode."""
        self.module.train()
        if self.recipe.freeze_batch_norm:
            freeze_statistics(self.arm.network)

    def take_step(self, batch: Batch, taught: Prediction | None) -> float | None:
        """One optimiser step; returns the total loss where it was read.

        Raises:
            RunFailedError: a loss term is not finite; the weights are as before the step.
        """
        step = self.counters.step
        # Dropout and its like draw from the global generator: seeded by the step, they need no saved state.
        torch.manual_seed(derive(self.arm.seed, "step", step, self.runtime.rank))
        self.schedule.before_step(step)
        losses = self._gradients(batch, taught)
        read = self.runtime.device.type == "cpu" or step % READ_EVERY == 0
        total = self._require_finite(losses) if read else None
        with self.around.phases("optimiser"):
            norm = self._clip(measure=step % READ_EVERY == 0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            if self.average is not None:
                self.average.update_parameters(self.arm.network)
            self.meter.add(losses, norm)
        self.counters.step += 1
        return total

    def gradient_seconds(self, batch: Batch, taught: Prediction | None, *, repeats: int = 3) -> float:
        """The shortest time of `repeats` passes forward and backward.

        They leave everything as it was before, also where one fails, as a compiler may in the backward pass.
        """
        before = copy.deepcopy(self.step_module.state_dict())
        shortest = math.inf
        try:
            for _ in range(repeats):
                synchronise(self.runtime.device)
                started = time.perf_counter()
                self._gradients(batch, taught)
                synchronise(self.runtime.device)
                shortest = min(shortest, time.perf_counter() - started)
                self.optimizer.zero_grad()
        finally:
            self.optimizer.zero_grad()
            self.step_module.load_state_dict(before)
        return shortest

    def _gradients(self, batch: Batch, taught: Prediction | None) -> dict[str, Tensor]:
        """Leave the batch's gradient with the parameters; returns its losses, detached."""
        sums: dict[str, Tensor] = {}
        progress = self.counters.step / self.steps_per_epoch
        for part in pieces(batch, taught, self.arm.micro_batch):
            with self._communicating(part.last):
                with self.around.phases("forward"):
                    losses: dict[str, Tensor] = self.module(part.batch, part.taught, progress)
                with self.around.phases("backward"):
                    self.runtime.accelerator.backward(losses["total"] if part.whole else losses["total"] * part.share)
            for name, value in losses.items():
                share = value.detach() if part.whole else value.detach() * part.share
                sums[name] = sums[name] + share if name in sums else share
        return sums

    def _communicating(self, last: bool) -> AbstractContextManager[object]:
        """Processes exchange gradients once for a batch, with its last part."""
        if last:
            return contextlib.nullcontext()
        waiting: AbstractContextManager[object] = self.runtime.accelerator.no_sync(self.module)
        return waiting

    def _clip(self, *, measure: bool) -> Tensor | None:
        """Clip the step's gradient as the recipe says; without a bound, measure its norm now and then."""
        return clip_gradients(self.runtime.accelerator, self.optimizer, self.step_module, self.recipe, measure=measure)

    def _require_finite(self, losses: Mapping[str, Tensor]) -> float:
        total = losses["total"].item()
        if math.isfinite(total):
            return total
        terms = {name: value.item() for name, value in losses.items() if name != "total"}
        bad = [f"'{name}' is {value}" for name, value in terms.items() if not math.isfinite(value)]
        named = ", ".join(bad) or f"their sum is {total}"
        kept = (
            f"the last good state is kept in {self.folder.state}"
            if self.checkpoint.file.exists()
            else "nothing was saved yet"
        )
        raise RunFailedError(
            f"arm {self.arm.plan.name}, step {self.counters.step}: loss term {named}; {kept}. Try a smaller "
            f"recipe.learning_rate (now {self.recipe.learning_rate}), recipe.clip_norm=1.0 or --precision fp32."
        )

    # -- after an epoch ---------------------------------------------------------------------------------------------

    def finish_epoch(self) -> bool:
        """Evaluate where it is due, select, and write the epoch's line.

        False: the run is to stop, and the evaluation was left. Nothing has changed; called again, it is made anew.
        """
        self._synchronise()
        epoch = self.counters.epoch + 1
        means = self.meter.means()
        if not math.isfinite(means.get("total", 0.0)):
            self._require_finite({name: torch.tensor(value) for name, value in means.items()})
        evaluation = None
        if self.supervision.due(epoch):
            evaluation = self.supervision.evaluate(self.evaluated_network)
            if evaluation is None:
                return False
            self.supervision.select(evaluation, epoch, self.evaluated_network, self.schedule)
        line = self._line(means, epoch, evaluation)
        self.around.on_epoch(line)
        self.supervision.look(line, self.objective.terms, self.steps_per_epoch)
        self.counters.epoch = epoch
        self.meter.reset()
        return True

    def _line(self, means: Mapping[str, float], epoch: int, evaluation: Evaluation | None) -> dict[str, Any]:
        norm = self.meter.grad_norm
        speed = self.counters.images / self.counters.seconds if self.counters.seconds else 0.0
        return {
            "arm": self.arm.plan.name,
            "epoch": epoch,
            "step": self.counters.step,
            "learning_rate": self.schedule.rate,
            "train_loss": means.get("total"),
            "losses": {name: value for name, value in means.items() if name != "total"},
            "val_loss": None if evaluation is None else evaluation.loss,
            "val": {} if evaluation is None else dict(evaluation.metrics),
            "grad_norm": None if norm is None or not math.isfinite(float(norm)) else float(norm),
            "images_per_second": speed,
            "seconds": self.counters.seconds,
        }

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that is evaluated and saved: the average where there is one."""
        return self.arm.network if self.average is None else self.average.module

    def _parts(self) -> dict[str, Stateful]:
        parts: dict[str, Stateful | None] = {
            "module": self.step_module,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "average": self.average,
            "scaler": self.runtime.accelerator.scaler,
            "counters": self.counters,
            "meter": self.meter,
            **self.supervision.parts(),
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _synchronise(self) -> None:
        average_statistics(self.step_module)
        if self.average is not None:
            average_statistics(self.average.module)
        self.meter.average()

    def save(self) -> None:
        """Write the state atomically; a state that is not finite is never written.

        Raises:
            RunFailedError: weights are not finite.
        """
        self._synchronise()
        norm = nn.utils.get_total_norm([value.detach() for value in self.trainable])
        if not math.isfinite(float(norm)):
            raise RunFailedError(
                f"arm {self.arm.plan.name}, step {self.counters.step}: the weights are no longer finite; the last good "
                f"state is kept. Try a smaller recipe.learning_rate (now {self.recipe.learning_rate}) or "
                "--precision fp32."
            )
        self.checkpoint.save(write=self.runtime.is_main)

    def restore(self) -> None:
        """Go on from the saved state, if there is one; say so when it was made on another machine or setting."""
        differences = self.checkpoint.restore()
        if differences:
            self.around.log.message(
                f"{self.arm.plan.name} goes on in another environment ({'; '.join(differences)}): its result will not "
                "be bit-identical to an uninterrupted run's.",
                "warning",
            )
        self.supervision.begun()

    def finish(self) -> None:
        """Save, and put the selected weights into the arm's network."""
        self.save()
        self.arm.network.load_state_dict(self.supervision.best.weights)

    # -- parts ------------------------------------------------------------------------------------------------------

    def _make_average(self) -> AveragedModel | None:
        decay = self.recipe.ema_decay
        if decay is None:
            return None
        return AveragedModel(self.arm.network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]

    def _guard_gradients(self) -> list[RemovableHandle]:
        if self.runtime.device.type != "cpu" or self.runtime.precision != "bf16":
            return []
        return guard_padding_taps(self.arm.network, sample_batch(self.around.data, PROBE_IMAGES, self.runtime))

    def close(self) -> None:
        """Release hooks and what Accelerate holds."""
        for guard in self._guards:
            guard.remove()
        if self._rewrite is not None:
            self._rewrite.undo()
        self.step_module.close()
        self.runtime.accelerator.free_memory()
