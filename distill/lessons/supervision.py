"""What is seen of an arm after each epoch, and what follows from it: selection, early stopping, notices."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from densedistill.distill.arm import Arm
from densedistill.distill.errors import InterruptedRunError, RunFailedError
from densedistill.distill.evaluation import Evaluation, evaluate
from densedistill.distill.lessons.checkpoint import Stateful
from densedistill.distill.lessons.counters import Best, Counters, Selection
from densedistill.distill.lessons.schedule import Schedule
from densedistill.distill.lessons.stopping import Stopping
from densedistill.distill.lessons.watching import Notice, Watch, stopped_early
from densedistill.distill.machine.collective import from_main
from densedistill.distill.objective import LossTerm, Objective, without_teacher
from densedistill.distill.surroundings import Surroundings


class Supervision:
    """Evaluates an arm's network, keeps its best weights, and decides when no better ones are to be expected."""

    def __init__(self, arm: Arm, around: Surroundings, counters: Counters) -> None:
        """Supervise `arm`; `counters.stopped` is set where early stopping ends it."""
        self.arm, self.around, self.counters = arm, around, counters
        higher = around.spec.metric.higher_is_better
        alone = [term for term in without_teacher(arm.terms) if term.weight]
        self.judge = Objective(alone) if alone else None
        """The validation loss; None where every term needs the teacher."""
        self.selection = Selection(higher_is_better=higher)
        rule = arm.recipe.early_stopping
        has_loss = self.judge is not None
        self.stopping = None if rule is None else Stopping(rule, higher_is_better=higher, has_loss=has_loss)
        self.watch = Watch()
        self.best = Best()

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint takes and puts back."""
        parts: dict[str, Stateful | None] = {
            "selection": self.selection,
            "stopping": self.stopping,
            "watch": self.watch,
            "best": self.best,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def due(self, epoch: int) -> bool:
        """Whether `epoch`, from 1, ends with an evaluation."""
        return epoch % self.arm.recipe.evaluate_every == 0 or epoch == self.arm.recipe.epochs

    def evaluate(self, network: nn.Module) -> Evaluation | None:
        """Score the network on validation; the main process does it for all. None: the run is to stop."""
        around, evaluation = self.around, None
        if around.runtime.is_main:
            # The other processes wait for an answer: None tells them too.
            with contextlib.suppress(InterruptedRunError):
                evaluation = evaluate(
                    network,
                    around.data.val,
                    spec=around.spec,
                    metric=around.spec.metric.make(around.options, around.data),
                    device=around.runtime.device,
                    batch_size=self.arm.recipe.batch_size,
                    objective=self.judge,
                    heed=around.heed,
                )
        return from_main(evaluation)

    def select(self, evaluation: Evaluation, epoch: int, network: nn.Module, schedule: Schedule) -> None:
        """Keep the weights of `network` where they are the best so far, and end the arm where they long have not been.

        Raises:
            RunFailedError: the metric is not finite.
        """
        figure = evaluation.metrics[self.around.spec.metric.name]
        if not math.isfinite(figure):
            raise RunFailedError(f"arm {self.arm.plan.name}, epoch {epoch}: the validation metric is {figure}.")
        if self.selection.improved(figure, epoch):
            self.best.take(network.state_dict())
        schedule.after_evaluation(figure)
        over = self.stopping is not None and self.stopping.over(figure, evaluation.loss, epoch)
        if self.stopping is not None and over and epoch < self.arm.recipe.epochs:
            self._stop(self.stopping, epoch, schedule.rate)

    def look(self, line: Mapping[str, Any], terms: Sequence[LossTerm], steps: int) -> None:
        """Say what an epoch's line shows for the first time; arguments as `Watch.epoch` has them."""
        for notice in self.watch.epoch(line, terms, steps):
            self._notice(notice)

    def begun(self) -> None:
        """Say, once, what is watched in place of what was asked for."""
        substituted = None if self.stopping is None else self.stopping.substituted
        if substituted is not None and not self.watch.notices:
            self._notice(Notice(kind="monitor", epoch=None, text=substituted))

    def _stop(self, stopping: Stopping, epoch: int, rate: float) -> None:
        """End the arm, and say what that is no evidence of."""
        recipe = self.arm.recipe
        share = rate / recipe.learning_rate
        self.counters.stopped = (
            f"early stopping after epoch {epoch} of {recipe.epochs}: no better validation {stopping.monitor} "
            f"since epoch {stopping.last_better}; the learning rate stood at {share:.0%} of its peak"
        )
        self.around.log.message(f"{self.arm.plan.name}: {self.counters.stopped}")
        notice = stopped_early(epoch, share)
        if notice is not None:
            self._notice(notice)

    def _notice(self, notice: Notice) -> None:
        self.watch.add(notice)
        self.around.log.message(f"{self.arm.plan.name}: {notice.text}", "warning")
