"""Training one arm: the loop, its checkpoints, and where it goes on after a restart."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.hooks import RemovableHandle

from densedistill.distill.arm import Arm
from densedistill.distill.batch_norm import average_statistics, freeze_statistics
from densedistill.distill.checkpoint import Checkpoint, Stateful
from densedistill.distill.collective import agree, average_meter, from_main
from densedistill.distill.counters import Best, Counters, Meter, Selection
from densedistill.distill.data import TaskData
from densedistill.distill.errors import InterruptedRunError, RunFailedError
from densedistill.distill.evaluation import Evaluation, evaluate
from densedistill.distill.memory import PROBE_IMAGES
from densedistill.distill.objective import Objective, without_teacher
from densedistill.distill.outputs import Batch
from densedistill.distill.padding_taps import guard_padding_taps
from densedistill.distill.plan import Plan, epoch_plan, steps_per_epoch
from densedistill.distill.prefetch import prefetch
from densedistill.distill.probe import sample_batch
from densedistill.distill.progress import RunLog
from densedistill.distill.run_dir import ArmDir
from densedistill.distill.runtime import Runtime
from densedistill.distill.schedule import Schedule, make_optimizer
from densedistill.distill.seeds import derive
from densedistill.distill.signals import StopSignal
from densedistill.distill.spec import TaskSpec
from densedistill.distill.step import DistillationStep

READ_EVERY = 20
"""Steps between two reads of the loss from an accelerator: each one waits for the device."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all arms of a run share."""

    spec: TaskSpec
    data: TaskData
    options: BaseModel
    runtime: Runtime
    log: RunLog
    stop: StopSignal
    on_epoch: Callable[[Mapping[str, Any]], None]
    """Takes the line of each evaluated epoch (metrics.jsonl, trackers)."""
    on_start: Callable[[str, int, int], None]
    """(arm, epochs done, steps done): called before an arm's first step, and again after each restart."""


class ArmTraining:
    """One arm's training. `run()` trains to the end, or to a signal; a new object on the same folder goes on."""

    def __init__(self, arm: Arm, folder: ArmDir, around: Surroundings) -> None:
        self.arm, self.folder, self.around = arm, folder, around
        self.recipe, self.runtime = arm.recipe, around.runtime
        self.objective = Objective(arm.terms)
        self.judge = self._validation_objective()
        self.counters = Counters()
        self.selection = Selection(higher_is_better=around.spec.metric.higher_is_better)
        self.stopping = self._stopping()
        self.meter = Meter(self.runtime.device)
        self.best = Best()
        self.evaluation: Evaluation | None = None

        taps = arm.spec.taps if self.objective.needs_teacher else ()
        self.step_module = DistillationStep(arm.network, taps, self.objective)
        self.step_module.to(device=self.runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trainable = [value for value in self.step_module.parameters() if value.requires_grad]
        self.average = self._make_average()
        accelerator = self.runtime.accelerator
        if self.runtime.scaler_start is not None:
            accelerator.scaler.load_state_dict(self.runtime.scaler_start)
        self.module = accelerator.prepare_model(self.step_module)
        self.optimizer = accelerator.prepare_optimizer(make_optimizer(self.recipe, self.trainable))
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
        self.checkpoint = Checkpoint(folder.state / "state.pt", self._parts(), self.runtime.environment())

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train until the last epoch or early stopping, then put the selected weights into the arm's network.

        Raises:
            RunFailedError: a loss term was not finite; the last saved state is kept.
            InterruptedRunError: a signal arrived; the state was saved.
        """
        self._restore()
        self.around.on_start(self.arm.plan.name, self.counters.epoch, self.counters.step)
        total = self.recipe.epochs * self.steps_per_epoch
        self.around.log.arm_started(self.arm.plan.name, self.arm.spec.name, total, self.counters.step)
        while self.counters.epoch < self.recipe.epochs and self.counters.stopped is None:
            self._train_epoch()
            self._finish_epoch()
        self.save()
        self.arm.network.load_state_dict(self.best.weights)

    def _train_epoch(self) -> None:
        epoch = self.counters.epoch
        self.module.train()
        if self.recipe.freeze_batch_norm:
            freeze_statistics(self.arm.network)
        plans = epoch_plan(
            images=len(self.around.data.train),
            views=self.recipe.views_per_epoch,
            batch_size=self.recipe.batch_size,
            seed=self.arm.seed,
            epoch=epoch,
            rank=self.runtime.rank,
            processes=self.runtime.processes,
        )[self.counters.step - epoch * self.steps_per_epoch :]
        # Waiting for a batch counts: images/s is what a user waits for. Evaluating and saving do not.
        started = time.perf_counter()
        for batch in prefetch(self._batches(plans)):
            loss = self._take_step(batch)
            self.counters.seconds += time.perf_counter() - started
            self.counters.images += len(batch["input"]) * self.runtime.processes
            self.around.log.step(self.counters.step, len(batch["input"]) * self.runtime.processes, loss)
            self._save_or_stop()
            started = time.perf_counter()

    def _batches(self, plans: list[Plan]) -> Any:
        return self.around.data.train.batches(plans, seed=self.arm.seed, device=self.runtime.device)

    def _take_step(self, batch: Batch) -> float | None:
        """One optimiser step; returns the total loss where it was read."""
        step = self.counters.step
        # Dropout and its like draw from the global generator: seeded by the step, they need no saved state.
        torch.manual_seed(derive(self.arm.seed, "step", step, self.runtime.rank))
        self.schedule.before_step(step)
        taught = self.arm.teacher(batch) if self.arm.teacher and self.objective.needs_teacher else None
        losses: dict[str, Tensor] = self.module(batch, taught)
        read = self.runtime.device.type == "cpu" or step % READ_EVERY == 0
        total = self._require_finite(losses) if read else None
        self.runtime.accelerator.backward(losses["total"])
        norm = self._clip(measure=step % READ_EVERY == 0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.arm.network)
        self.meter.add(losses, norm)
        self.counters.step += 1
        return total

    def _clip(self, *, measure: bool) -> Tensor | None:
        """Clip the gradient of everything trainable; without a bound, measure its norm now and then."""
        accelerator = self.runtime.accelerator
        if self.recipe.clip_norm is not None:
            norm: Tensor = accelerator.clip_grad_norm_(self.trainable, self.recipe.clip_norm)
            return norm
        if not measure:
            return None
        accelerator.unscale_gradients(self.optimizer)
        return nn.utils.get_total_norm([value.grad for value in self.trainable if value.grad is not None])

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

    def _finish_epoch(self) -> None:
        self._synchronise()
        epoch = self.counters.epoch + 1
        means = self.meter.means()
        if not math.isfinite(means.get("total", 0.0)):
            self._require_finite({name: torch.tensor(value) for name, value in means.items()})
        due = epoch % self.recipe.evaluate_every == 0 or epoch == self.recipe.epochs
        self.evaluation = self._evaluate() if due else None
        if self.evaluation is not None:
            self._select(self.evaluation, epoch)
        self.around.on_epoch(self._line(means, epoch))
        self.counters.epoch = epoch
        self.meter.reset()
        self._save_or_stop()

    def _evaluate(self) -> Evaluation:
        """Score the network on validation; the main process does it for all."""
        evaluation = None
        if self.runtime.is_main:
            evaluation = evaluate(
                self.evaluated_network,
                self.around.data.val,
                spec=self.around.spec,
                metric=self.around.spec.metric.make(self.around.options, self.around.data),
                device=self.runtime.device,
                batch_size=self.recipe.batch_size,
                objective=self.judge,
            )
        shared = from_main(evaluation)
        if shared is None:
            raise RuntimeError("the main process sent no evaluation")
        return shared

    def _select(self, evaluation: Evaluation, epoch: int) -> None:
        figure = evaluation.metrics[self.around.spec.metric.name]
        if not math.isfinite(figure):
            raise RunFailedError(f"arm {self.arm.plan.name}, epoch {epoch}: the validation metric is {figure}.")
        if self.selection.improved(figure, epoch):
            self.best.take(self.evaluated_network.state_dict())
        self.schedule.after_evaluation(figure)
        rule = self.recipe.early_stopping
        if rule is None or self.stopping is None:
            return
        watched = evaluation.loss if rule.monitor == "loss" and evaluation.loss is not None else figure
        self.stopping.improved(watched, epoch)
        if self.stopping.bad >= rule.patience and epoch < self.recipe.epochs:
            rate = float(self.optimizer.param_groups[0]["lr"]) / self.recipe.learning_rate
            self.counters.stopped = (
                f"early stopping after epoch {epoch} of {self.recipe.epochs}: no better validation {rule.monitor} "
                f"since epoch {self.stopping.epoch}; the learning rate stood at {rate:.0%} of its peak"
            )
            self.around.log.message(f"{self.arm.plan.name}: {self.counters.stopped}")

    def _line(self, means: Mapping[str, float], epoch: int) -> dict[str, Any]:
        norm = self.meter.grad_norm
        evaluation = self.evaluation
        speed = self.counters.images / self.counters.seconds if self.counters.seconds else 0.0
        return {
            "arm": self.arm.plan.name,
            "epoch": epoch,
            "step": self.counters.step,
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
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
            "selection": self.selection,
            "stopping": self.stopping,
            "meter": self.meter,
            "best": self.best,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _synchronise(self) -> None:
        average_statistics(self.arm.network)
        if self.average is not None:
            average_statistics(self.average.module)
        average_meter(self.meter)

    def _save_or_stop(self) -> None:
        """Save when it is time, or when a signal arrived, which then ends the run."""
        due = int(self.checkpoint.due)
        signal_number, save = agree(self.around.stop.number, due, device=self.runtime.device)
        if save or signal_number:
            self.save()
        if signal_number:
            raise InterruptedRunError(
                f"stopped by signal {signal_number} in arm {self.arm.plan.name} after step {self.counters.step}; "
                "the state is saved.",
                exit_status=128 + signal_number,
            )

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

    def _restore(self) -> None:
        """Go on from the saved state, if there is one; say so when it was made on another machine or setting."""
        differences = self.checkpoint.restore()
        if differences:
            self.around.log.message(
                f"{self.arm.plan.name} goes on in another environment ({'; '.join(differences)}): its result will not "
                "be bit-identical to an uninterrupted run's.",
                "warning",
            )

    # -- parts ------------------------------------------------------------------------------------------------------

    def _validation_objective(self) -> Objective | None:
        alone = [term for term in without_teacher(self.arm.terms) if term.weight]
        return Objective(alone) if alone else None

    def _stopping(self) -> Selection | None:
        rule = self.recipe.early_stopping
        if rule is None:
            return None
        by_metric = rule.monitor == "metric" and self.around.spec.metric.higher_is_better
        return Selection(higher_is_better=by_metric)

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
        self.step_module.close()
        self.runtime.accelerator.free_memory()
