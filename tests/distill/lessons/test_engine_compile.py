"""Compiling in a run: when it is tried, what is kept, and that a restart follows. The compiler here is a fast stand-in
for Inductor, `aot_eager`: the same tracing and autograd, eager kernels."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd

from densedistill.distill.errors import InterruptedRunError
from densedistill.distill.fast import compiling
from densedistill.distill.fast.compiling import CompileRecords
from densedistill.distill.lessons import compilation
from densedistill.distill.lessons.step import DistillationStep
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.progress import SilentLog

_COMPILE = torch.compile
EPOCHS = 4
"""Of 6 steps: long enough for a decision at step 8."""


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the functions given to the compiler; records of compilations go to a folder of the test's own."""
    given: list[str] = []
    real = torch.compile

    def stand_in(function: Any, *, dynamic: bool, backend: str, **_settings: object) -> Any:
        assert backend == "inductor"
        given.append(getattr(function, "__qualname__", type(function).__name__))
        return real(function, dynamic=dynamic, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", stand_in)
    monkeypatch.setenv("DENSEDISTILL_CACHE", str(tmp_path / "cache"))
    torch._dynamo.reset()
    return given


class _Told(SilentLog):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str, level: str = "info") -> None:
        self.texts.append(text)


def _run(tiny: ModuleType, out: Path, mode: str, kind: str = "cls", **changes: object) -> tuple[dict[str, Any], Any]:
    log = _Told()
    settings = {"recipe.epochs": EPOCHS, "speed.compile": mode, "controls": []} | changes
    chain = tiny.tiny_chain(tiny.tiny_spec(kind), out, settings, log=log)
    return {arm["arm"]: arm for arm in chain.run()["arms"]}, log.texts


@pytest.mark.parametrize("kind", ["cls", "sr"])
def test_compiled_steps_are_the_same_steps(tiny: ModuleType, tmp_path: Path, compiled: list[str], kind: str) -> None:
    _run(tiny, tmp_path / "eager", "never", kind)
    assert compiled == []
    arms, _texts = _run(tiny, tmp_path / "compiled", "always", kind)
    assert compiled == ["Tapped.__call__", "_Asking", "Tapped.__call__"]
    assert "compiled: gen_01" in arms["gen_01"]["notes"]
    assert "compiled: teacher, gen_02" in arms["gen_02"]["notes"]
    record = json.loads((tmp_path / "compiled" / "gen_02" / "arm.json").read_text())
    assert "compiled" in record["speed"]["teacher"]["shortcuts"]
    for arm in ("gen_01", "gen_02"):
        weights = f"{arm}/model.safetensors"
        assert tiny.same_bytes(tmp_path / "eager" / weights, tmp_path / "compiled" / weights)


def test_a_short_run_does_not_even_ask(tiny: ModuleType, tmp_path: Path, compiled: list[str]) -> None:
    arms, texts = _run(tiny, tmp_path / "run", "auto")
    assert compiled == []
    assert not any("compil" in text for text in texts)
    assert not any("compiled" in note for note in arms["gen_02"]["notes"])


def _pretend(monkeypatch: pytest.MonkeyPatch, *, teacher: float, student: float) -> None:
    """Let the question be asked and the trial be worth it; `teacher` and `student` are compiled over eager time."""
    monkeypatch.setattr(compilation, "WORTH_TIMING", 1)
    monkeypatch.setattr(compiling, "HARDLY_FELT", 0.0)
    monkeypatch.setattr(CompileRecords, "seconds_per_operation", lambda _records, _kind: 0.0)
    times = {"teacher": [1.0, teacher] * 9, "student": [1.0, student] * 9}
    monkeypatch.setattr(compilation, "shortest", lambda _call, _runtime: times["teacher"].pop(0))
    real = ArmTraining.gradient_seconds

    def pretended(training: ArmTraining, batch: Any, taught: Any, *, repeats: int = 3) -> float:
        real(training, batch, taught, repeats=1)
        return times["student"].pop(0) if repeats == 3 else 0.0

    monkeypatch.setattr(ArmTraining, "gradient_seconds", pretended)


def test_what_is_slower_compiled_stays_eager(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, teacher=0.7, student=1.1)
    arms, texts = _run(tiny, tmp_path / "run", "auto")
    assert "compiled: teacher" in arms["gen_02"]["notes"]
    assert any("teacher gen_01: compiled in" in text and "0.7 s a step, 1 s without" in text for text in texts)
    asked = len(texts)
    arms, texts = _run(tiny, tmp_path / "again", "auto")
    assert len(texts) < asked, "what compiling the student gains is known now, and it is not tried again"
    assert "compiled: teacher" in arms["gen_02"]["notes"]


def test_a_restart_follows_what_was_decided(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    monkeypatch.setattr("densedistill.distill.lessons.checkpoint.SAVE_AFTER_SECONDS", 0.0)
    _pretend(monkeypatch, teacher=1.5, student=0.5)
    _run(tiny, tmp_path / "whole", "auto")
    tiny.die_at(monkeypatch, 6, 15)
    for _ in range(2):
        with pytest.raises(InterruptedRunError):
            _run(tiny, tmp_path / "killed", "auto")
    choices = json.loads((tmp_path / "killed" / "gen_02" / "state" / "choices.json").read_text())
    assert choices["compiled"] == ["gen_02"]
    compiled.clear()
    # The clock says something else now; it is not asked.
    _pretend(monkeypatch, teacher=0.5, student=1.5)
    arms, _texts = _run(tiny, tmp_path / "killed", "auto")
    assert compiled == ["Tapped.__call__"]
    assert "compiled: gen_02" in arms["gen_02"]["notes"]
    weights = "gen_02/model.safetensors"
    assert tiny.same_bytes(tmp_path / "whole" / weights, tmp_path / "killed" / weights)


def test_a_compiler_that_fails_costs_a_sentence(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(step: DistillationStep, *, on: bool = True, backend: str = "inductor") -> None:
        def fail(_images: torch.Tensor) -> Any:
            raise RuntimeError("no C++ compiler found\nand more")

        step._answer = fail if on else step._tapped

    monkeypatch.setattr(DistillationStep, "compile_student", broken)
    arms, texts = _run(tiny, tmp_path / "run", "always", generations=1)
    assert "gen_01 is not compiled: compiling it failed (no C++ compiler found)" in texts
    assert arms["gen_01"]["epochs"] == EPOCHS


def test_a_backward_pass_that_cannot_be_compiled_leaves_no_trace(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then a forward pass has moved the running statistics."""

    def broken(_graph: object, _inputs: object) -> Any:
        raise RuntimeError("no shared memory for the backward kernel")

    backend = aot_autograd(fw_compiler=lambda graph, _inputs: graph.forward, bw_compiler=broken)
    _run(tiny, tmp_path / "eager", "never", generations=1)
    stand_in = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **given: _COMPILE(function, dynamic=False, backend=backend))
    _arms, texts = _run(tiny, tmp_path / "failed", "always", generations=1)
    monkeypatch.setattr(torch, "compile", stand_in)
    assert any("gen_01 is not compiled" in text and "no shared memory" in text for text in texts)
    weights = "gen_01/model.safetensors"
    assert tiny.same_bytes(tmp_path / "eager" / weights, tmp_path / "failed" / weights)


def test_timing_leaves_no_trace(tiny: ModuleType, tmp_path: Path) -> None:
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path)
    arm = chain.assemble(chain.plans[0]).arm
    training = ArmTraining(arm, chain.run_dir.arm("gen_01"), chain._surroundings())
    training.begin_epoch()
    batch = next(iter(chain.data.train.batches([_plan()], seed=1, device=torch.device("cpu"))))
    before = {name: value.clone() for name, value in training.step_module.state_dict().items()}
    assert training.gradient_seconds(batch, None) > 0
    assert all(torch.equal(value, before[name]) for name, value in training.step_module.state_dict().items())
    assert all(value.grad is None for value in training.step_module.parameters())
    training.close()


def _plan() -> Any:
    import numpy as np

    from densedistill.distill.lessons.plan import Plan

    return Plan(images=np.arange(8), views=np.zeros(8, dtype=np.int64))
