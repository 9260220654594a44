"""The log of a study's run: passes on what the run says, and stops a run that is pruned or no longer ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from densedistill.distill.progress import Level, RunLog, SilentLog
from densedistill.distill.spec import MetricSpec
from densedistill.distill.study.definition import Pruning
from densedistill.distill.study.queue import Claimed


class PrunedError(Exception):
    """The trial was given up: others were better at the same epoch."""

    def __init__(self, epoch: int, value: float) -> None:
        super().__init__(f"pruned after epoch {epoch}: validation {value:.4g}, below the median of other trials there")
        self.epoch, self.value = epoch, value


class TrialLog:
    """A `RunLog` around another one."""

    def __init__(
        self,
        inner: RunLog | None,
        claimed: Claimed,
        metric: MetricSpec,
        pruning: Pruning | None = None,
        pruned_arm: str | None = None,
    ) -> None:
        self._inner: RunLog = inner or SilentLog()
        self._claimed, self._metric, self._pruning, self._arm = claimed, metric, pruning, pruned_arm

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.__exit__(kind, error, trace)

    def arm_started(self, arm: str, detail: str, steps: int, done: int) -> None:
        """Passed on."""
        self._inner.arm_started(arm, detail, steps, done)

    def step(self, done: int, images: int, loss: float | None) -> None:
        """Passed on, while the trial is ours.

        Raises:
            LostClaimError: it is another process's.
        """
        self._claimed.require()
        self._inner.step(done, images, loss)

    def epoch(self, line: Mapping[str, object]) -> None:
        """Passed on, and reported to Optuna where the study prunes.

        Raises:
            PrunedError: this trial is worse than the median of the others.
        """
        self._inner.epoch(line)
        figures = line.get("val")
        if self._pruning is None or line.get("arm") != self._arm or not isinstance(figures, Mapping):
            return
        from optuna.pruners import MedianPruner

        epoch, value = int(str(line["epoch"])), float(figures[self._metric.name])
        trial = self._claimed.trial
        trial.report(value, epoch)
        pruner = MedianPruner(n_startup_trials=self._pruning.startup_trials, n_warmup_steps=self._pruning.after_epochs)
        study = self._claimed.queue.study
        if pruner.prune(study, study._storage.get_trial(trial._trial_id)):
            raise PrunedError(epoch, value)

    def arm_finished(self, arm: str, line: str) -> None:
        """Passed on."""
        self._inner.arm_finished(arm, line)

    def message(self, text: str, level: Level = "info") -> None:
        """Passed on."""
        self._inner.message(text, level)
