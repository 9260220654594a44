"""Fidelity's figures against closed forms, SciPy and records made by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import entropy

from densedistill.distill.errors import RequestError
from densedistill.distill.fidelity import (
    ArmScores,
    Scored,
    agreement,
    calibration,
    calibration_error,
    class_accuracy,
    class_fidelity,
    compared_fidelity,
    divergence,
    fitted_temperature,
)
from densedistill.distill.metrics.accuracy import calibration_bins


def noise(count: int, classes: int, seed: int) -> torch.Tensor:
    return 3 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))


def test_agreement_counts_equal_classes() -> None:
    student = torch.tensor([[2.0, 1, 0], [0, 1, 2], [0, 5, 1], [1, 0, 0]])
    teacher = torch.tensor([[9.0, 0, 0], [0, 3, 2], [0, 1, 0], [0, 0, 4]])
    assert agreement(student, teacher) == 50.0
    assert agreement(student, student * 3 - 1) == 100.0


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_divergence_is_scipy_s_relative_entropy(temperature: float) -> None:
    student, teacher = noise(50, 7, 0), noise(50, 7, 1)
    p, q = (torch.softmax(logits.double() / temperature, 1).numpy() for logits in (teacher, student))
    assert divergence(student, teacher, temperature) == pytest.approx(float(entropy(p, q, axis=1).mean()), rel=1e-12)
    assert divergence(student, teacher, temperature) != pytest.approx(float(entropy(q, p, axis=1).mean()), rel=1e-3)
    assert divergence(student, student + 5, temperature) == pytest.approx(0, abs=1e-12)


def test_divergence_of_certain_networks_is_finite() -> None:
    sure = torch.tensor([[500.0, -500.0]])
    assert divergence(-sure, sure, 1.0) == pytest.approx(1000.0)


def test_calibration_bins_hold_the_calibration_error() -> None:
    logits, target = noise(200, 5, 2), torch.arange(200) % 5
    confidence, predicted = torch.softmax(logits.double(), 1).max(1)
    bins = calibration_bins(confidence, (predicted == target).double())
    assert sum(bins["count"]) == 200
    assert bins["count"] == [int(((confidence > m / 15) & (confidence <= (m + 1) / 15)).sum()) for m in range(15)]
    gaps = zip(bins["count"], bins["confidence"], bins["accuracy"], strict=True)
    error = sum(count * abs(right - sure) for count, sure, right in gaps) / 200
    assert error == pytest.approx(calibration_error(logits, target), abs=1e-5)


def test_a_fitted_temperature_has_its_closed_form() -> None:
    """Two classes, logits ±a, a share q of labels right: softmax at T gives q exactly where T = 2 a / logit(q)."""
    a, right, count = 3.0, 80, 100
    logits = torch.tensor([[a, -a]]).repeat(count, 1)
    target = torch.tensor([0] * right + [1] * (count - right))
    expected = 2 * a / math.log(right / (count - right))
    assert fitted_temperature(logits, target) == pytest.approx(expected, rel=1e-9)
    scores = ArmScores(val=Scored(logits, target), test=Scored(logits, target))
    found = calibration(scores)
    assert found["ece"] == pytest.approx(1 / (1 + math.exp(-2 * a)) - 0.8)
    assert found["ece_scaled"] == pytest.approx(0, abs=1e-6)
    assert found["fitted_temperature"] == pytest.approx(expected)


def test_a_fitted_temperature_is_that_of_an_optimiser() -> None:
    logits = noise(300, 5, 0)
    target = torch.multinomial(torch.softmax(logits / 2.3, 1), 1, generator=torch.Generator().manual_seed(0))[:, 0]

    def loss(log_t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits.double() / math.exp(log_t), target))

    best = math.exp(minimize_scalar(loss, bounds=(-3, 3), options={"xatol": 1e-10}, method="bounded").x)
    assert fitted_temperature(logits, target) == pytest.approx(best, rel=1e-5)
    assert 1.9 < best < 2.8


def test_a_fitted_temperature_has_bounds() -> None:
    logits = torch.eye(4) * 2
    assert fitted_temperature(logits, torch.arange(4)) == pytest.approx(0.01, rel=1e-6)
    assert fitted_temperature(logits, (torch.arange(4) + 1) % 4) == pytest.approx(100.0, rel=1e-6)


def test_the_temperature_is_fitted_on_validation_alone() -> None:
    val, test = Scored(noise(40, 3, 0), torch.arange(40) % 3), Scored(noise(40, 3, 1), torch.arange(40) % 3)
    other = Scored(noise(40, 3, 2), torch.arange(40) % 3)
    first, second = (calibration(ArmScores(val=val, test=which)) for which in (test, other))
    assert first["fitted_temperature"] == second["fitted_temperature"] == fitted_temperature(val.output, val.target)
    assert first["ece_scaled"] == calibration_error(test.output / first["fitted_temperature"], test.target)


def test_class_accuracy_leaves_absent_classes_out() -> None:
    logits = torch.eye(3)[[0, 0, 1, 2, 0]]
    found = class_accuracy(Scored(logits, torch.tensor([0, 0, 0, 1, 1])), ("cat", "dog", "owl"))
    assert found == {"cat": pytest.approx(200 / 3), "dog": 0.0}


def test_class_fidelity_puts_them_together() -> None:
    target = torch.arange(30) % 3
    own, teacher = (
        ArmScores(val=Scored(noise(30, 3, seed), target), test=Scored(noise(30, 3, seed + 1), target))
        for seed in (0, 2)
    )
    alone = class_fidelity(own, None, 4.0, ("a", "b", "c"))
    assert set(alone) == {"ece", "ece_scaled", "fitted_temperature", "class_accuracy", "calibration_bins"}
    taught = class_fidelity(own, teacher, 4.0, ("a", "b", "c"))
    assert {key: taught[key] for key in alone} == alone
    assert taught["kl"] == divergence(own.test.output, teacher.test.output, 4.0)
    assert taught["agreement"] == agreement(own.test.output, teacher.test.output)
    assert taught["temperature"] == 4.0
    assert taught["teacher_ece"] == calibration_error(teacher.test.output, target)


def record(teacher: str | None, **accuracy: float) -> dict[str, Any]:
    return {"teacher": teacher, "fidelity": {"ece": 0.1, "class_accuracy": accuracy} if accuracy else {}}


def test_changes_by_class_are_against_teacher_and_scratch() -> None:
    student, teacher, scratch = record("t", cat=60, dog=50), record(None, cat=70, dog=55), record(None, cat=50, dog=52)
    found = compared_fidelity(student, teacher, scratch)
    assert found["class_change_from_teacher"] == {"cat": -10, "dog": -5}
    assert found["class_change_from_scratch"] == {"cat": 10, "dog": -2}
    assert found["ece"] == 0.1
    assert "class_change_from_scratch" not in compared_fidelity(student, teacher, None)
    assert compared_fidelity(teacher, None, None) == {}
    assert compared_fidelity(record("t"), record(None), record(None)) == {}


def test_networks_of_different_classes_are_refused() -> None:
    with pytest.raises(RequestError, match="of the same classes"):
        agreement(noise(4, 3, 0), noise(4, 5, 0))
    with pytest.raises(RequestError, match="above 0"):
        divergence(noise(4, 3, 0), noise(4, 3, 0), 0.0)


# -- in a run -----------------------------------------------------------------------------------------------------


def fidelity_of(out: Path) -> dict[str, dict[str, Any]]:
    result = json.loads((out / "result.json").read_text())
    return {arm["arm"]: arm["fidelity"] for arm in result["arms"]}


def test_a_run_records_it_for_taught_arms(tiny: ModuleType, tmp_path: Path) -> None:
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"method.temperature": 2.5})
    chain.run()
    found = fidelity_of(tmp_path)
    assert found["gen_01"] == found["gen_02_scratch"] == {}
    student = found["gen_02"]
    test = next(iter(chain.data.tests.values()))
    with torch.inference_mode():
        own, teacher = (
            torch.cat([chain.network_of(arm)(batch["input"]) for batch in test.batches(8, device=torch.device("cpu"))])
            for arm in ("gen_02", "gen_01")
        )
    assert student["kl"] == pytest.approx(divergence(own, teacher, 2.5), rel=1e-5)
    assert student["temperature"] == 2.5
    assert student["agreement"] == pytest.approx(agreement(own, teacher))
    accuracy = {arm: json.loads((tmp_path / arm / "arm.json").read_text())["fidelity"] for arm in found}
    for name, change in student["class_change_from_scratch"].items():
        own_accuracy, scratch = (accuracy[arm]["class_accuracy"][name] for arm in ("gen_02", "gen_02_scratch"))
        assert change == pytest.approx(own_accuracy - scratch)
    assert set(student["class_change_from_teacher"]) == set(chain.data.classes)


def test_a_teacher_is_asked_again_after_a_restart(tiny: ModuleType, tmp_path: Path) -> None:
    """The same figures whether the teacher was scored by this process or by an earlier one."""
    tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path / "whole").run()
    parts = {"generations": 1, "controls": []}
    tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path / "parts", parts).run()
    tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path / "parts").run()
    assert fidelity_of(tmp_path / "whole")["gen_02"] == fidelity_of(tmp_path / "parts")["gen_02"]


@pytest.mark.parametrize("kind", ["edges", "sr"])
def test_tasks_without_classes_say_nothing(tiny: ModuleType, tmp_path: Path, kind: str) -> None:
    tiny.tiny_chain(tiny.tiny_spec(kind), tmp_path, {"recipe.epochs": 1}).run()
    assert set(map(len, fidelity_of(tmp_path).values())) == {0}


def test_nothing_is_said_without_a_test_set(tiny: ModuleType, tmp_path: Path) -> None:
    plain = tiny.tiny_spec("cls")
    untested = dataclasses.replace(
        plain, load_data=lambda options: dataclasses.replace(plain.load_data(options), tests={})
    )
    tiny.tiny_chain(untested, tmp_path, {"recipe.epochs": 1}).run()
    assert set(map(len, fidelity_of(tmp_path).values())) == {0}
