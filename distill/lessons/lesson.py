"""A lesson: arms that learn from one teacher at the same time, on the same batches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from densedistill.distill.cache.answers import Answers
from densedistill.distill.errors import InterruptedRunError
from densedistill.distill.lessons.choices import Choices
from densedistill.distill.lessons.compilation import Compilation
from densedistill.distill.lessons.plan import Plan, epoch_plan
from densedistill.distill.lessons.streams import load_ahead
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.machine.collective import agree
from densedistill.distill.machine.runtime import synchronise
from densedistill.distill.machine.signals import StopSignal
from densedistill.distill.outputs import Batch, Prediction
from densedistill.distill.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Supply:
    """What the loader hands to a step."""

    plan: Plan
    batch: Batch
    kept: Prediction | None
    """The teacher's answer where it was kept from an earlier pass."""

    @property
    def tensors(self) -> Iterator[Tensor]:
        """All that a step reads."""
        yield from self.batch.values()
        if self.kept is not None:
            yield from (self.kept.output, *self.kept.taps.values())


class Lesson:
    """Trains one arm, or several students of one teacher in lockstep: each batch is made and taught once.

    Every arm has its own checkpoint. After a kill they may stand at different steps: those ahead wait for the others,
    since a step is a pure function of its number.
    """

    def __init__(
        self,
        trainings: Sequence[ArmTraining],
        answers: Answers | None,
        around: Surroundings,
        stop: StopSignal,
        choices: Choices,
    ) -> None:
        self.trainings, self.answers, self.around, self.stop = trainings, answers, around, stop
        first = trainings[0]
        self.recipe, self.seed, self.cycle = first.recipe, first.arm.seed, first.arm.cycle
        self.steps_per_epoch = first.steps_per_epoch
        self.compilation = Compilation(
            trainings, answers, choices, around.runtime, around.log.message, around.speed.compile
        )

    def run(self) -> None:
        """Train until every arm's last epoch or early stopping, and select their weights.

        Raises:
            RunFailedError: a loss term was not finite; the last saved state is kept.
            InterruptedRunError: a signal arrived; the state was saved.
        """
        for _step in self.steps():
            pass
        for training in self.trainings:
            training.finish()

    def steps(self) -> Iterator[int]:
        """Train; yields the number of steps taken so far after each of them."""
        self._begin()
        while learning := [training for training in self.trainings if not training.over]:
            epoch = min(training.counters.epoch for training in learning)
            class_ = [training for training in learning if training.counters.epoch == epoch]
            yield from self._epoch(class_, epoch)
            for training in class_:
                if not training.finish_epoch():
                    break
            self._save_or_stop()

    def _begin(self) -> None:
        for training in self.trainings:
            training.restore()
            self.around.on_start(training.arm.plan.name, training.counters.epoch, training.counters.step)
        self.around.log.arm_started(
            ", ".join(training.arm.plan.name for training in self.trainings),
            ", ".join(training.arm.spec.name for training in self.trainings),
            self.recipe.epochs * self.steps_per_epoch,
            min(training.counters.step for training in self.trainings),
        )

    def _epoch(self, class_: Sequence[ArmTraining], epoch: int) -> Iterator[int]:
        for training in class_:
            training.begin_epoch()
        step = min(training.counters.step for training in class_)
        learners: Sequence[ArmTraining] = ()
        # Waiting for a batch counts: images/s is what a user waits for. Evaluating and saving do not.
        started = time.perf_counter()
        with contextlib.closing(self._supplies(epoch, step)) as supplies:
            while True:
                with self.around.phases("data"):
                    supply = next(supplies, None)
                if supply is None:
                    self._wait_for(learners)
                    return
                learners = [training for training in class_ if training.counters.step == step]
                self._consider_compiling(step, supply)
                losses = self._teach(learners, supply)
                step += 1
                self._count(learners, losses, supply, time.perf_counter() - started)
                self._save_or_stop(learners)
                yield step
                started = time.perf_counter()

    def _supplies(self, epoch: int, first_step: int) -> Generator[Supply, None, None]:
        runtime, recipe = self.around.runtime, self.recipe
        plans = epoch_plan(
            images=len(self.around.data.train),
            views=recipe.views_per_epoch,
            batch_size=recipe.batch_size,
            seed=self.seed,
            epoch=epoch,
            rank=runtime.rank,
            processes=runtime.processes,
            cycle=self.cycle,
        )[first_step - epoch * self.steps_per_epoch :]

        def supplied() -> Iterator[Supply]:
            batches = self.around.data.train.batches(plans, seed=self.seed, device=runtime.device)
            for plan, batch in zip(plans, batches, strict=True):
                yield Supply(plan, batch, None if self.answers is None else self.answers.kept(plan))

        return load_ahead(supplied(), lambda supply: supply.tensors, runtime.device, self.around.speed.prefetch)

    def _consider_compiling(self, step: int, supply: Supply) -> None:
        left = self.recipe.epochs * self.steps_per_epoch - step
        self.compilation.before(step, left, supply.batch, lambda: self._answer(supply))

    def _answer(self, supply: Supply) -> Prediction | None:
        needed = any(training.objective.needs_teacher for training in self.trainings)
        if self.answers is None or not needed:
            return None
        with self.around.phases("teacher"):
            return self.answers.to(supply.plan, supply.batch, supply.kept)

    def _teach(self, learners: Sequence[ArmTraining], supply: Supply) -> list[float | None]:
        taught = self._answer(supply) if learners else None
        return [training.take_step(supply.batch, taught) for training in learners]

    def _count(
        self, learners: Sequence[ArmTraining], losses: Sequence[float | None], supply: Supply, seconds: float
    ) -> None:
        images = len(supply.batch["input"]) * self.around.runtime.processes
        for training in learners:
            training.counters.seconds += seconds
            training.counters.images += images
        if learners:
            self.around.log.step(learners[0].counters.step, images, losses[0])

    def _wait_for(self, learners: Sequence[ArmTraining]) -> None:
        """Count what the device still has to do for `learners`' steps: a GPU is told of them faster than it takes them.

        Evaluating and saving wait for it, and are not counted themselves.
        """
        started = time.perf_counter()
        synchronise(self.around.runtime.device)
        seconds = time.perf_counter() - started
        for training in learners:
            training.counters.seconds += seconds

    def _save_or_stop(self, learners: Sequence[ArmTraining] = ()) -> None:
        """Save when it is time, or when a signal arrived, which then ends the run. `learners` have just taken a step"""
        due = int(any(training.checkpoint.due for training in self.trainings))
        signal_number, save = agree(self.stop.number, due)
        if save or signal_number:
            self._wait_for(learners)
            for training in self.trainings:
                training.save()
        if signal_number:
            names = ", ".join(training.arm.plan.name for training in self.trainings)
            raise InterruptedRunError(
                f"stopped by signal {signal_number} in arm {names} after step {self.trainings[0].counters.step}; the "
                "state is saved.",
                exit_status=128 + signal_number,
            )
