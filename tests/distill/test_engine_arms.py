"""What arms share and what sets them apart: start, batches, teacher, and the weights of their losses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densedistill.distill.arm import ArmPlan, plan_arms
from densedistill.distill.chain import Chain
from densedistill.distill.lessons.step import DistillationStep
from densedistill.distill.objective import Objective
from densedistill.distill.probe import sample_batch
from densedistill.distill.teacher import Teacher
from densedistill.distill.tensors import load_tensors

KINDS = ("cls", "edges", "sr")


def _plan(chain: Chain, name: str) -> ArmPlan:
    return next(plan for plan in chain.plans if plan.name == name)


@pytest.mark.parametrize(
    ("generations", "controls", "names"),
    [
        (1, ("scratch",), ["gen_01"]),
        (2, ("scratch",), ["gen_01", "gen_02", "gen_02_scratch"]),
        (2, (), ["gen_01", "gen_02"]),
        (
            3,
            ("scratch", "direct"),
            ["gen_01", "gen_02", "gen_02_scratch", "gen_03", "gen_03_scratch", "gen_03_direct"],
        ),
    ],
)
def test_plan_lists_the_chain_and_its_controls(generations: int, controls: Any, names: list[str]) -> None:
    plans = plan_arms(generations, controls)
    assert [plan.name for plan in plans] == names
    taught = {plan.name: plan.teacher for plan in plans}
    assert taught["gen_01"] is None
    assert taught.get("gen_02") in (None, "gen_01")
    assert taught.get("gen_02_scratch") is None
    assert taught.get("gen_03", "gen_02") == "gen_02"
    assert taught.get("gen_03_direct", "gen_01") == "gen_01"


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_zero_is_plain_training(tiny: ModuleType, tmp_path: Path, kind: str) -> None:
    tiny.tiny_chain(tiny.tiny_spec(kind), tmp_path, {"method.alpha": 0.0}).run()
    assert tiny.same_bytes(tmp_path / "gen_02/model.safetensors", tmp_path / "gen_02_scratch/model.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_the_teacher_makes_a_difference_otherwise(tiny: ModuleType, tmp_path: Path, kind: str) -> None:
    tiny.tiny_chain(tiny.tiny_spec(kind), tmp_path, {"recipe.epochs": 1}).run()
    taught = load_tensors(tmp_path / "gen_02/model.safetensors")
    scratch = load_tensors(tmp_path / "gen_02_scratch/model.safetensors")
    assert any(not torch.equal(taught[name], scratch[name]) for name in taught)


def test_arms_of_a_generation_start_alike_and_see_the_same_batches(tiny: ModuleType, tmp_path: Path) -> None:
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"recipe.epochs": 2})
    asked: dict[str, list[Any]] = {}
    starts: dict[str, dict[str, torch.Tensor]] = {}
    assemble = chain.assemble

    def noting(plan: ArmPlan, teacher: Any = None) -> Any:
        assembled = assemble(plan, teacher)
        starts[plan.name] = {key: value.clone() for key, value in assembled.arm.network.state_dict().items()}
        chain.data.train.asked = asked[plan.name] = []
        return assembled

    chain.assemble = noting
    chain.run()
    assert starts["gen_02"].keys() == starts["gen_02_scratch"].keys()
    assert all(torch.equal(value, starts["gen_02_scratch"][key]) for key, value in starts["gen_02"].items())
    assert not torch.equal(starts["gen_01"]["stem.0.weight"][:6], starts["gen_02"]["stem.0.weight"])
    assert asked["gen_02"] == asked["gen_02_scratch"]
    assert asked["gen_02"] != asked["gen_01"]
    assert len(asked["gen_02"]) >= 12


def test_teacher_only_answers(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = tiny.tiny_chain(tiny.tiny_spec("sr"), tmp_path)
    watched: list[tuple[Teacher, dict[str, torch.Tensor]]] = []
    answer = Teacher.__call__

    def watching(teacher: Teacher, batch: Any) -> Any:
        if not any(known is teacher for known, _state in watched):
            watched.append((teacher, {key: value.clone() for key, value in teacher.network.state_dict().items()}))
        prediction = answer(teacher, batch)
        assert not any(module.training for module in teacher.network.modules())
        for tensor in (prediction.output, *prediction.taps.values()):
            assert not tensor.requires_grad
            assert not tensor.is_inference()
        return prediction

    monkeypatch.setattr(Teacher, "__call__", watching)
    before = chain.run_dir.arm("gen_01").weights
    chain.run()
    assert len(watched) == 1, "gen_01 taught gen_02; nobody taught gen_01 and gen_02_scratch"
    teacher, start = watched[0]
    assert all(torch.equal(value, start[key]) for key, value in teacher.network.state_dict().items())
    assert all(torch.equal(value, start[key]) for key, value in load_tensors(before).items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in teacher.network.parameters())


def test_checkpoints_hold_no_teacher(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[dict[str, Any]] = []
    monkeypatch.setattr("densedistill.distill.lessons.checkpoint.save_state", lambda _path, state: states.append(state))
    chain = tiny.tiny_chain(tiny.tiny_spec("sr"), tmp_path)
    chain.run()
    student = {f"student.{key}" for key in tiny.TinyNet("sr").state_dict()}
    extra = [set(state["module"]) - student for state in states]
    projector = "objective.owned.features.term.projectors.0."
    assert set().union(*extra) == {projector + "weight", projector + "bias"}
    assert set(load_tensors(tmp_path / "gen_02/model.safetensors")) == set(tiny.TinyNet("sr").state_dict())


def _first_losses(tiny: ModuleType, kind: str, out: Path, arm: str) -> tuple[dict[str, float], nn.Module, Any, Any]:
    """The losses of an arm's first look at a batch, with its network as it was, in evaluation mode."""
    chain = tiny.tiny_chain(tiny.tiny_spec(kind), out)
    for plan in chain.plans[: chain.plans.index(_plan(chain, arm))]:
        chain._run_lesson([plan], {})
    made = chain.assemble(_plan(chain, arm)).arm
    batch = sample_batch(chain.data, 8, chain.runtime)
    objective = Objective(made.terms)
    step = DistillationStep(made.network.eval(), made.spec.taps if made.teacher else (), objective)
    with torch.no_grad():
        losses = step(batch, made.teacher(batch) if made.teacher else None)
    return {name: float(value) for name, value in losses.items()}, made.network, batch, made.teacher


def test_scratch_classifier_trains_on_the_whole_cross_entropy(tiny: ModuleType, tmp_path: Path) -> None:
    losses, network, batch, teacher = _first_losses(tiny, "cls", tmp_path, "gen_02_scratch")
    expected = F.cross_entropy(network(batch["input"]), batch["target"]).item()
    assert teacher is None
    assert losses == pytest.approx({"hard": expected, "total": expected})


def test_taught_classifier_mixes_by_alpha(tiny: ModuleType, tmp_path: Path) -> None:
    losses, network, batch, teacher = _first_losses(tiny, "cls", tmp_path, "gen_02")
    logits, temperature = network(batch["input"]).detach(), 4.0
    soft = temperature**2 * F.kl_div(
        F.log_softmax(logits / temperature, dim=1),
        F.log_softmax(teacher(batch).output / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    hard = F.cross_entropy(logits, batch["target"])
    assert losses["soft"] == pytest.approx(float(soft), rel=1e-4)
    assert losses["total"] == pytest.approx(float(0.9 * soft + 0.1 * hard), rel=1e-4)


def test_scratch_upscaler_keeps_l1_and_drops_the_features(tiny: ModuleType, tmp_path: Path) -> None:
    losses, network, batch, _ = _first_losses(tiny, "sr", tmp_path, "gen_02_scratch")
    expected = (network(batch["input"]) - batch["target"]).abs().mean().item()
    assert losses == pytest.approx({"l1": expected, "total": expected})


def test_validation_loss_is_the_tasks_own_at_full_weight(tiny: ModuleType, tmp_path: Path) -> None:
    """Comparable between a student and its control: no teacher in it, and no 1 - alpha."""
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"recipe.epochs": 1})
    lines: list[Any] = []
    chain.track = lines.append
    chain.run()
    assert {line["arm"] for line in lines} == {"gen_01", "gen_02", "gen_02_scratch"}
    for line in lines:
        network = chain.network_of(line["arm"])
        batch = next(iter(chain.data.val.batches(100, device=torch.device("cpu"))))
        with torch.no_grad():
            expected = float(F.cross_entropy(network(batch["input"]), batch["target"]))
        assert line["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_baseline_of_data_without_a_test_set(tiny: ModuleType, tmp_path: Path) -> None:
    """It is scored on validation alone, and says so before anything is trained."""
    spec = tiny.tiny_spec("sr")
    data = dataclasses.replace(spec.load_data(spec.presets["demo"].data), tests={})
    chain = tiny.tiny_chain(dataclasses.replace(spec, load_data=lambda _options: data), tmp_path)
    chain._score_baselines()
    assert [baseline["test"] for baseline in chain.baselines] == [None] * len(chain.baselines)
    assert chain.baselines
