"""Before a run: only a long one is examined, in brief, and what is found stops it or is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from densedistill.datasets.base import TaskData
from densedistill.distill.doctor import examination
from densedistill.distill.doctor.chain import DoctorChain
from densedistill.distill.doctor.examination import before_run, check_teachers, examine
from densedistill.distill.doctor.limits import Limits
from densedistill.distill.doctor.planned import Cost
from densedistill.distill.dry_run import preflight
from densedistill.distill.errors import RunFailedError
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import StepOutputs
from densedistill.distill.spec import TaskSpec
from densedistill.distill.tensors import load_tensors

Patients = Callable[..., DoctorChain]
Trained = tuple[Path, TaskData]
Taught = Callable[[StepOutputs], Tensor]
WithTerms = Callable[[TaskSpec, Taught], TaskSpec]


def test_a_short_run_is_not_examined(tiny: ModuleType, tmp_path: Path) -> None:
    assert before_run(tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path).parts, print) is None


def test_a_long_run_is_examined_and_stopped(
    tiny: ModuleType, swapped: Taught, with_terms: WithTerms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"recipe.epochs": 100_000_000, "method.alpha": 0.5}
    diagnosis = before_run(tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path / "sound", long).parts, print)
    assert diagnosis is not None
    assert diagnosis.status == "pass"
    spec = with_terms(tiny.tiny_spec("cls"), swapped)
    with pytest.raises(RunFailedError, match=r"KL direction \(gen_02\).*--no-doctor"):
        before_run(tiny.tiny_chain(spec, tmp_path / "swapped", long).parts, print)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_before_a_run_is_skipped(
    tiny: ModuleType, swapped: Taught, with_terms: WithTerms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the run will be; a fault that there was no time to find stops nothing, and is not called a pass."""
    monkeypatch.setattr(examination, "MOST_SECONDS", 0.0)
    chain = tiny.tiny_chain(with_terms(tiny.tiny_spec("cls"), swapped), tmp_path, {"recipe.epochs": 100_000_000})
    diagnosis = before_run(chain.parts, print)
    assert diagnosis is not None
    left_out = [(finding.check, finding.subject) for finding in diagnosis.of("skip") if "no time" in finding.text]
    assert left_out == [("steps", "gen_01"), ("steps", "gen_02"), ("class counts", "tiny"), ("duplicates", "tiny")]
    assert [finding.check for finding in diagnosis.of("pass", "warn", "fail")] == ["time planned"]


def test_a_dear_arm_has_fewer_images_on_the_bench(
    tiny: ModuleType, patient: Patients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, seen = patient(tiny.tiny_spec("cls"), tmp_path), []
    check = examination.check_arm
    monkeypatch.setattr(examination, "check_arm", lambda *given: seen.append(given[2]) or check(*given))
    clock = lambda: 0.0  # noqa: E731
    for seconds in (0.001, 1.0, 100.0):
        costs = {plan.name: Cost(seconds, 1) for plan in chain.to_train}
        examine(chain, Limits(until=100.0, clock=clock), costs)
    assert seen == [16, 16, 5, 5]


def test_a_dear_teacher_is_asked_about_fewer_images(tiny: ModuleType, patient: Patients, trained: Trained) -> None:
    folder, data = trained
    chain = patient(tiny.tiny_spec("cls"), folder, data=data)
    # A clock that is a second further at every look: reading takes 7, and an answer to 32 images one.
    ticking = iter(range(10**6))
    (figure, *_rest) = check_teachers(chain, Limits(until=50.0, clock=lambda: float(next(ticking))))
    assert figure.status == "pass"
    assert 64 <= figure.figures["images"] < len(data.val.ids)
    hurried = iter(range(10**6))
    (skipped,) = check_teachers(chain, Limits(until=20.0, clock=lambda: float(next(hurried))))
    assert (skipped.check, skipped.status) == ("teacher's figure", "skip")
    assert "reading enough of 200 validation images would take too long before this run" in skipped.text


def test_warnings_are_said(tiny: ModuleType, tmp_path: Path) -> None:
    said: list[str] = []
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"method.weight": 1e6}, method="fitnet")
    diagnosis = before_run(chain.parts, said.append, always=True)
    assert diagnosis is not None
    assert diagnosis.status == "warn"
    assert [text for text in said if "lower the weight of 'fitnet'" in text]


def test_the_bench_leaves_no_trace(tiny: ModuleType, tmp_path: Path) -> None:
    """A run trains to the same weights whether it was examined or not."""
    states = []
    for examined in (False, True):
        chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path / str(examined), {"recipe.epochs": 1})
        if examined:
            before_run(chain.parts, print, always=True)
        chain.run()
        states.append(load_tensors(tmp_path / str(examined) / "gen_02/model.safetensors"))
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize(("policy", "networks"), [("auto", "none"), ("none", "none"), ("required", "required")])
def test_before_a_run_methods_have_what_they_read_with(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, networks: str
) -> None:
    """Weights that networks would only like to have are not fetched yet; a method cannot be tried without its own."""
    spec, told, built = tiny.tiny_spec("cls"), set(), set()
    method, build = spec.methods["kd"], tiny.TinyNetworks.build

    def own(parameters: Any, context: Any) -> Sequence[LossTerm]:
        told.add(context.pretrained)
        return method.own(parameters, context)

    def taught(parameters: Any, context: Any) -> Sequence[LossTerm]:
        told.add(context.pretrained)
        return method.taught(parameters, context)

    def building(source: Any, *given: Any, pretrained: str) -> Any:
        built.add(pretrained)
        return build(source, *given, pretrained=pretrained)

    monkeypatch.setattr(tiny.TinyNetworks, "build", building)
    changed = dataclasses.replace(method, own=own, taught=taught)
    reading = dataclasses.replace(spec, methods={**spec.methods, "kd": changed})
    chain = tiny.tiny_chain(reading, tmp_path, {"pretrained": policy})
    preflight(chain.parts)
    assert (told, built) == ({policy}, {networks})
    before_run(chain.parts, print, always=True)
    # The doctor builds the saved student anew, whose weights are read from its file.
    assert (told, built) == ({policy}, {networks, "none"})


def test_demonstrations_are_not_delayed(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embedded data are for runs of minutes: such a run is not even timed, while one on other data is."""
    timed: list[str] = []

    def noting(_chain: Any, arm: Any) -> float:
        timed.append(arm.plan.name)
        return 0.0

    monkeypatch.setattr(examination, "seconds_per_image", noting)
    settings = {"recipe.epochs": 40}
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, settings)
    assert before_run(chain.parts, print) is None
    assert timed == []
    elsewhere = dataclasses.replace(chain.parts, data=dataclasses.replace(chain.data, embedded=False))
    assert before_run(elsewhere, print) is None
    assert timed == ["gen_01", "gen_02"]
