"""What an arm's training remembers between two steps, beside weights and optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed

from densedistill.distill.gains import lead
from densedistill.distill.machine.collective import joined
from densedistill.distill.metrics.table import sum_dtype


@dataclass
class Remembered:
    """Plain values that a checkpoint takes and puts back."""

    def state_dict(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        for name, value in state.items():
            setattr(self, name, value)


@dataclass
class Selection(Remembered):
    """The best evaluation so far, and how long ago it was."""

    higher_is_better: bool
    figure: float | None = None
    epoch: int = 0
    bad: int = 0
    """Evaluations in a row without an improvement."""

    def improved(self, figure: float, epoch: int) -> bool:
        """Take `figure`; the first of equal figures is kept."""
        better = self.figure is None or lead(figure, self.figure, higher=self.higher_is_better) > 0
        if better:
            self.figure, self.epoch, self.bad = figure, epoch, 0
        else:
            self.bad += 1
        return better


@dataclass
class Counters(Remembered):
    """Where an arm stands."""

    step: int = 0
    """Optimiser steps taken."""
    epoch: int = 0
    """Whole epochs done, evaluated where they should be."""
    images: int = 0
    seconds: float = 0.0
    """Time spent in training steps, over all restarts."""
    stopped: str | None = None
    """Why the arm ended before its last epoch."""


@dataclass
class Best:
    """The weights of the best evaluation so far, on the CPU; none before the first."""

    weights: dict[str, Tensor] = field(default_factory=dict)

    def take(self, state: Mapping[str, Tensor]) -> None:
        """Keep a copy of a network's state."""
        self.weights = {name: value.detach().cpu().clone() for name, value in state.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """The weights."""
        return self.weights

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict()`."""
        self.weights = state


@dataclass
class Meter:
    """Sums of the losses of an epoch, kept on the device."""

    device: torch.device
    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    grad_norm: Tensor | None = None
    """Largest gradient norm of the epoch, before clipping."""

    def add(self, losses: Mapping[str, Tensor], grad_norm: Tensor | None) -> None:
        """Take one step's losses (scalars)."""
        for name, value in losses.items():
            detached = value.detach().to(sum_dtype(value.device))
            self.sums[name] = self.sums[name] + detached if name in self.sums else detached
        if grad_norm is not None:
            norm = grad_norm.detach()
            self.grad_norm = norm if self.grad_norm is None else torch.maximum(self.grad_norm, norm)
        self.steps += 1

    def means(self) -> dict[str, float]:
        """Mean of each loss over the steps taken; this reads the device."""
        return {name: float(value) / max(self.steps, 1) for name, value in self.sums.items()}

    def average(self) -> None:
        """Average the sums over all processes; each saw another part of every batch."""
        if not joined():
            return
        for name, value in self.sums.items():
            total = value.clone()
            distributed.all_reduce(total)
            self.sums[name] = total / distributed.get_world_size()

    def reset(self) -> None:
        """Begin another epoch."""
        self.sums, self.steps, self.grad_norm = {}, 0, None

    def state_dict(self) -> dict[str, Any]:
        """What a restart in the middle of an epoch needs."""
        return {"sums": dict(self.sums), "steps": self.steps, "grad_norm": self.grad_norm}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.sums = {name: value.to(self.device) for name, value in state["sums"].items()}
        self.steps = int(state["steps"])
        self.grad_norm = None if state["grad_norm"] is None else state["grad_norm"].to(self.device)
