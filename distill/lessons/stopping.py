"""Early stopping: what is watched, which way it is to go, and when an arm ends before its last epoch."""

from __future__ import annotations

from typing import Literal

from densedistill.distill.configuration.recipe import EarlyStopping
from densedistill.distill.lessons.counters import Selection


class Stopping:
    """Counts evaluations without an improvement. Its state goes into the checkpoint.

    A validation loss is watched where the rule asks for it and there is one: an arm whose every loss term needs the
    teacher has none, and then the metric is watched, in its own direction.
    """

    def __init__(self, rule: EarlyStopping, *, higher_is_better: bool, has_loss: bool) -> None:
        """Take the rule, the metric's direction, and whether evaluations come with a loss."""
        self.rule = rule
        self.monitor: Literal["loss", "metric"] = rule.monitor if has_loss else "metric"
        self.selection = Selection(higher_is_better=self.monitor == "metric" and higher_is_better)

    @property
    def substituted(self) -> str | None:
        """What to tell the user where the loss was asked for and the metric is watched."""
        if self.monitor == self.rule.monitor:
            return None
        return (
            "recipe.early_stopping.monitor is 'loss', but every loss term of this arm needs its teacher, so that there "
            "is no validation loss: the metric is watched"
        )

    @property
    def last_better(self) -> int:
        """The epoch of the best evaluation so far."""
        return self.selection.epoch

    def over(self, figure: float, loss: float | None, epoch: int) -> bool:
        """Take the evaluation after `epoch`; whether `patience` of them in a row brought nothing better."""
        self.selection.improved(loss if self.monitor == "loss" and loss is not None else figure, epoch)
        return self.selection.bad >= self.rule.patience

    def state_dict(self) -> dict[str, object]:
        """What a restart needs."""
        return self.selection.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from `state_dict()`."""
        self.selection.load_state_dict(state)
