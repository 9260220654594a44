"""Learning-rate schedules against their closed forms and torch's own plateau."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.lessons.schedule import Schedule, make_optimizer, rate_factor

FIGURES = [0.1, 0.3, 0.2, 0.3, 0.29, 0.28, 0.31, 0.1, 0.1, 0.1, 0.1, 0.5, 0.4, 0.4, 0.4]


def _weight() -> nn.Parameter:
    return nn.Parameter(torch.zeros(1))


def _schedule(recipe: Recipe, *, higher: bool = True) -> tuple[Schedule, torch.optim.Optimizer]:
    optimizer = make_optimizer(recipe, [_weight()])
    return Schedule(recipe, optimizer, 10, higher_is_better=higher), optimizer


def test_cosine_after_warm_up() -> None:
    recipe = Recipe(learning_rate=0.2, min_learning_rate=0.02, warmup_epochs=0.4, epochs=2)
    schedule, optimizer = _schedule(recipe)
    rates = [schedule.before_step(step) for step in range(20)]
    assert rates[:4] == pytest.approx([0.05, 0.10, 0.15, 0.20])
    cosine = [0.02 + 0.18 * (1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)]
    assert rates[4:] == pytest.approx(cosine)
    assert optimizer.param_groups[0]["lr"] == rates[-1]


def test_steps_fall_after_each_milestone() -> None:
    recipe = Recipe(schedule="steps", milestones=(3, 1), gamma=0.5, epochs=5)
    factors = [rate_factor(recipe, 10 * epoch, 10) for epoch in range(5)]
    assert factors == [1.0, 0.5, 0.5, 0.25, 0.25]
    assert rate_factor(recipe, 9, 10) == 1.0


def test_constant_stays() -> None:
    assert {rate_factor(Recipe(schedule="constant", epochs=3), step, 10) for step in range(30)} == {1.0}


@pytest.mark.parametrize("higher", [True, False])
def test_plateau_is_torchs_own(higher: bool) -> None:
    recipe = Recipe(schedule="plateau", learning_rate=1.0, plateau_factor=0.5, plateau_patience=1, epochs=20)
    schedule, _ = _schedule(recipe, higher=higher)
    twin = torch.optim.SGD([_weight()], lr=1.0)
    reference = ReduceLROnPlateau(twin, mode="max" if higher else "min", factor=0.5, patience=1)
    rates = []
    for figure in FIGURES:
        schedule.after_evaluation(figure)
        reference.step(figure)
        rates.append(schedule.before_step(0))
        assert rates[-1] == twin.param_groups[0]["lr"]
    assert len(set(rates)) > 2, "the sequence must lower the rate more than once to prove anything"


@pytest.mark.parametrize("cut", range(1, len(FIGURES)))
def test_plateau_goes_on_from_its_state(cut: int) -> None:
    recipe = Recipe(schedule="plateau", learning_rate=1.0, plateau_patience=1, warmup_epochs=0.5, epochs=20)
    whole, _ = _schedule(recipe)
    broken, _ = _schedule(recipe)
    for place, figure in enumerate(FIGURES):
        if place == cut:
            state = broken.state_dict()
            broken, _ = _schedule(recipe)
            broken.load_state_dict(state)
        whole.after_evaluation(figure)
        broken.after_evaluation(figure)
        assert broken.before_step(10 * place) == whole.before_step(10 * place)


def test_plateau_warms_up_without_remembering_it() -> None:
    recipe = Recipe(schedule="plateau", learning_rate=1.0, plateau_patience=0, warmup_epochs=1.0, epochs=3)
    schedule, _ = _schedule(recipe)
    assert schedule.before_step(4) == pytest.approx(0.5)
    schedule.after_evaluation(1.0)
    schedule.after_evaluation(0.5)
    assert schedule.before_step(10) == pytest.approx(0.1)


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizer_takes_only_what_is_trainable(name: str, kind: str) -> None:
    frozen = _weight().requires_grad_(False)
    recipe = Recipe(optimizer=name, learning_rate=0.3, momentum=0.8, weight_decay=0.01)  # type: ignore[arg-type]
    optimizer = make_optimizer(recipe, [_weight(), frozen])
    group = optimizer.param_groups[0]
    assert type(optimizer).__name__ == kind
    assert len(group["params"]) == 1
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.01)
    assert group.get("momentum", 0.8) == 0.8
