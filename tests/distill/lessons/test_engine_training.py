"""The training loop: selection, early stopping, averaging, frozen statistics, and losses that are not finite."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.chain import Chain
from densedistill.distill.errors import RunFailedError
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.spec import TaskSpec
from densedistill.distill.tensors import load_state, load_tensors

ONE = {"generations": 1}


class Planted:
    """A metric whose validation figures are given; on a test set it is 0."""

    name, unit, higher_is_better = "planted", "", True

    def __init__(self, figures: list[float]) -> None:
        self.figures = figures

    def update(self, prediction: Tensor, batch: Mapping[str, Tensor]) -> None:
        """Look away."""

    def compute(self) -> dict[str, float]:
        """The next figure."""
        return {"planted": self.figures.pop(0) if self.figures else 0.0}

    def per_image(self) -> list[dict[str, float]]:
        """None."""
        return []


def _planted(spec: TaskSpec, figures: list[float], *, higher: bool = True) -> TaskSpec:
    metric = dataclasses.replace(
        spec.metric, name="planted", unit="", higher_is_better=higher, make=lambda _options, _data: Planted(figures)
    )
    return dataclasses.replace(spec, metric=metric)


def _run_noting_epochs(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[dict[str, Tensor]]]:
    """Run; the lines of metrics, and the evaluated network's state after each epoch."""
    lines: list[Any] = []
    states: list[dict[str, Tensor]] = []
    finish = ArmTraining.finish_epoch

    def noting(training: ArmTraining) -> bool:
        done = finish(training)
        states.append({key: value.clone() for key, value in training.evaluated_network.state_dict().items()})
        return done

    monkeypatch.setattr(ArmTraining, "finish_epoch", noting)
    chain.track = lines.append
    chain.run()
    return lines, states


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize(("higher", "best"), [(True, 2), (False, 0)])
def test_the_best_epochs_weights_are_kept(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, higher: bool, best: int
) -> None:
    spec = _planted(tiny.tiny_spec("cls"), [0.1, 0.5, 0.9, 0.9, 0.3], higher=higher)
    chain = tiny.tiny_chain(spec, tmp_path, ONE | {"recipe.epochs": 5})
    _, states = _run_noting_epochs(chain, monkeypatch)
    kept = load_tensors(tmp_path / "gen_01/model.safetensors")
    assert [_equal(kept, state) for state in states] == [epoch == best for epoch in range(5)]


def test_early_stopping_counts_evaluations_without_improvement(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _planted(tiny.tiny_spec("cls"), [0.5, 0.6, 0.6, 0.59, 0.1, 0.9])
    settings = ONE | {"recipe.epochs": 9, "recipe.early_stopping.patience": 3}
    chain = tiny.tiny_chain(spec, tmp_path, settings)
    lines, _ = _run_noting_epochs(chain, monkeypatch)
    record = chain.run_dir.arm("gen_01").record()
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert record["epochs"] == 5
    assert "early stopping after epoch 5 of 9" in record["notes"][-1]
    assert "since epoch 2" in record["notes"][-1]


def test_early_stopping_can_watch_the_validation_loss(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _planted(tiny.tiny_spec("cls"), [float(figure) for figure in range(30)])
    settings = ONE | {
        "recipe.epochs": 30,
        "recipe.early_stopping": {"monitor": "loss", "patience": 1},
        "recipe.learning_rate": 0.5,
    }
    lines, _ = _run_noting_epochs(tiny.tiny_chain(spec, tmp_path, settings), monkeypatch)
    losses = [line["val_loss"] for line in lines]
    assert 1 < len(losses) < 30
    assert losses[-1] >= min(losses[:-1])
    assert all(later < earlier for earlier, later in itertools.pairwise(losses[:-1]))


def test_evaluations_come_every_so_often_and_at_the_end(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, ONE | {"recipe.epochs": 5, "recipe.evaluate_every": 2})
    lines, _ = _run_noting_epochs(chain, monkeypatch)
    assert [bool(line["val"]) for line in lines] == [False, True, False, True, True]
    assert [line["val_loss"] is not None for line in lines] == [False, True, False, True, True]
    assert all(line["train_loss"] > 0 for line in lines)


def test_average_is_what_is_evaluated_and_saved(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decay, weights = 0.7, []
    update = torch.optim.swa_utils.AveragedModel.update_parameters

    def noting(average: Any, network: nn.Module) -> None:
        update(average, network)
        weights.append(network.get_parameter("stem.0.weight").detach().clone())

    monkeypatch.setattr(torch.optim.swa_utils.AveragedModel, "update_parameters", noting)
    spec = _planted(tiny.tiny_spec("cls"), [0.1, 0.2, 0.3])
    tiny.tiny_chain(spec, tmp_path, ONE | {"recipe.epochs": 2, "recipe.ema_decay": decay}).run()
    expected = weights[0]
    for value in weights[1:]:
        expected = decay * expected + (1 - decay) * value
    kept = load_tensors(tmp_path / "gen_01/model.safetensors")
    assert len(weights) == 12
    torch.testing.assert_close(kept["stem.0.weight"], expected)
    assert not torch.allclose(kept["stem.0.weight"], weights[-1])


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_statistics_stay_as_they_were(tiny: ModuleType, tmp_path: Path, frozen: bool) -> None:
    settings = ONE | {"recipe.freeze_batch_norm": frozen, "recipe.epochs": 1}
    tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, settings).run()
    kept = load_tensors(tmp_path / "gen_01/model.safetensors")
    assert torch.equal(kept["stem.1.running_mean"], torch.zeros(8)) is frozen
    assert torch.equal(kept["body.1.running_var"], torch.ones(8)) is frozen


def test_clipping_is_off_without_a_bound(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, _ = _run_noting_epochs(tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, ONE), monkeypatch)
    assert all(line["grad_norm"] is None or line["grad_norm"] > 0 for line in lines)
    assert lines[0]["grad_norm"] is not None


# -- what is not finite -------------------------------------------------------------------------------------------


def _failing(chain: Chain, monkeypatch: pytest.MonkeyPatch, spoil: Any, *, at_step: int) -> tuple[str, dict[str, Any]]:
    """Save after every step, call `spoil` before step `at_step` of gen_02; the message and the state that is left."""
    monkeypatch.setattr("densedistill.distill.lessons.checkpoint.SAVE_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("densedistill.distill.lessons.checkpoint.SAVE_COST_BOUND", 1e9)
    take = ArmTraining.take_step

    def taking(training: ArmTraining, batch: Any, taught: Any) -> Any:
        if training.arm.plan.name == "gen_02" and training.counters.step == at_step:
            taught = spoil(training, batch, taught)
        return take(training, batch, taught)

    monkeypatch.setattr(ArmTraining, "take_step", taking)
    with pytest.raises(RunFailedError) as caught:
        chain.run()
    return str(caught.value), load_state(chain.run_dir.arm("gen_02").state / "state.pt")


def _all_finite(state: Mapping[str, Any]) -> bool:
    return all(torch.isfinite(value).all() for value in state["module"].values() if value.is_floating_point())


def test_a_loss_that_is_not_finite_is_named(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(training: ArmTraining, batch: Any, taught: Any) -> Any:
        assert training.arm.teacher is not None
        with torch.no_grad():
            assert training.arm.teacher.prepared is not None
            training.arm.teacher.prepared.module.get_parameter("head.2.bias").fill_(float("nan"))
        return training.arm.teacher(batch)

    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"controls": []})
    message, state = _failing(chain, monkeypatch, spoil, at_step=9)
    assert "gen_02, step 9" in message
    assert "'soft' is nan" in message
    assert "'hard'" not in message
    assert str(tmp_path / "gen_02" / "state") in message
    assert state["counters"]["step"] == 9
    assert _all_finite(state)


class _NanGradient(torch.autograd.Function):
    """Forward the identity, backward not a number."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """Copy."""
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        """Spoil."""
        return gradient * float("nan")


@pytest.mark.parametrize("at_step", [4, 11], ids=["midway", "last-step"])
def test_a_gradient_that_is_not_finite_is_never_saved(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_step: int
) -> None:
    def spoil(training: ArmTraining, batch: Any, taught: Any) -> Any:
        hook = training.arm.network.register_forward_hook(lambda _m, _i, output: _NanGradient.apply(output))
        training.arm.network.register_forward_pre_hook(
            lambda _m, _i: None if training.counters.step == at_step else hook.remove()
        )
        return taught

    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"controls": []})
    message, state = _failing(chain, monkeypatch, spoil, at_step=at_step)
    assert "weights are no longer finite" in message
    assert state["counters"]["step"] == at_step
    assert _all_finite(state)
    assert not chain.run_dir.arm("gen_02").done
