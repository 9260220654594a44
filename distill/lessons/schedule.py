"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from densedistill.distill.configuration.recipe import Recipe


def make_optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter], *, fused: bool = True) -> Optimizer:
    """The recipe's optimiser over `parameters` (those that require a gradient)."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            trainable,
            lr=rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=decay,
            fused=fused,
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(trainable, lr=rate, weight_decay=decay, fused=fused)


def rate_factor(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """What the learning rate is multiplied by at optimiser step `step` (from 0), `plateau` aside.

    Warm-up: (step + 1) / warm-up steps. Cosine (Loshchilov and Hutter 2017, eq. 5, one period): from 1 at the end
    of the warm-up to `min_learning_rate` at the last step. Steps: `gamma` to the number of milestones passed.
    """
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "cosine":
        total = recipe.epochs * steps_per_epoch - warmup
        floor = recipe.min_learning_rate / recipe.learning_rate
        done = min((step - warmup) / max(total, 1), 1.0)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
    if recipe.schedule == "steps":
        return float(recipe.gamma ** bisect.bisect_right(sorted(recipe.milestones), step // steps_per_epoch))
    return 1.0


class Schedule:
    """Sets the optimiser's learning rate before each step. Only `plateau` has a state of its own."""

    def __init__(self, recipe: Recipe, optimizer: Optimizer, steps_per_epoch: int, *, higher_is_better: bool) -> None:
        self._recipe = recipe
        self._optimizer = optimizer
        self._steps_per_epoch = steps_per_epoch
        self._plateau: ReduceLROnPlateau | None = None
        if recipe.schedule == "plateau":
            self._plateau = ReduceLROnPlateau(
                optimizer,
                mode="max" if higher_is_better else "min",
                factor=recipe.plateau_factor,
                patience=recipe.plateau_patience,
                min_lr=recipe.min_learning_rate,
            )
        self._plateau_rate = recipe.learning_rate

    @property
    def rate(self) -> float:
        """The learning rate that the optimiser has now."""
        return float(self._optimizer.param_groups[0]["lr"])

    def before_step(self, step: int) -> float:
        """Set and return the learning rate of optimiser step `step`."""
        rate = self._plateau_rate * rate_factor(self._recipe, step, self._steps_per_epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        return rate

    def after_evaluation(self, figure: float) -> None:
        """Tell `plateau` the validation metric."""
        if self._plateau is None:
            return
        for group in self._optimizer.param_groups:
            group["lr"] = self._plateau_rate
        self._plateau.step(figure)
        self._plateau_rate = float(self._optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, object]:
        """What a restart needs."""
        plateau = self._plateau
        kept = {} if plateau is None else {"best": float(plateau.best), "num_bad_epochs": plateau.num_bad_epochs}
        return {"rate": self._plateau_rate, **kept}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from `state_dict()`."""
        self._plateau_rate = float(str(state["rate"]))
        if self._plateau is not None:
            self._plateau.best = float(str(state["best"]))
            self._plateau.num_bad_epochs = int(str(state["num_bad_epochs"]))
