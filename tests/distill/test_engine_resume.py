"""Stopping and going on: what comes out is what an undisturbed run gives, bit for bit."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from densedistill.distill.boundaries import BoundaryBenchmark
from densedistill.distill.errors import InterruptedRunError, RunFailedError
from densedistill.distill.files import read_json
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.machine.guard import naming_failures
from densedistill.distill.machine.signals import StopSignal
from densedistill.distill.spec import TaskSpec

DRIVER = Path(__file__).with_name("tiny_drive.py")
ARMS = ("gen_01", "gen_02", "gen_02_scratch")


def _lines(out: Path, tiny: ModuleType) -> list[dict[str, Any]]:
    return [tiny.untimed(json.loads(line)) for line in (out / "metrics.jsonl").read_text().splitlines()]


def _assert_same(tiny: ModuleType, whole: Path, broken: Path) -> None:
    for arm in ARMS:
        assert tiny.same_bytes(whole / arm / "model.safetensors", broken / arm / "model.safetensors"), arm
        assert not (broken / arm / "state").exists()
    assert _lines(whole, tiny) == _lines(broken, tiny)
    first, second = (read_json(out / "result.json") for out in (whole, broken))
    assert [tiny.untimed(arm) for arm in first["arms"]] == [tiny.untimed(arm) for arm in second["arms"]]
    assert [arm["arm"] for arm in first["arms"]] == list(ARMS)


@pytest.mark.parametrize(("kind", "seed"), [("cls", 1), ("sr", 3)])
def test_killed_ten_times_and_resumed(tiny: ModuleType, tmp_path: Path, kind: str, seed: int) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = [sys.executable, str(DRIVER), kind, str(whole), str(broken), "10", str(seed)]
    driven = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert driven.returncode == 0, driven.stderr
    told = json.loads(driven.stdout)
    assert (told["whole"], told["last"]) == (0, 0), driven.stderr
    assert told["kills"] == [signal.SIGKILL] * 10
    assert len({len(arms) for arms in told["done"]}) > 1, "all kills hit one arm"
    _assert_same(tiny, whole, broken)


def _stop_at(monkeypatch: pytest.MonkeyPatch, arm: str, step: int, number: int = signal.SIGTERM) -> None:
    take = ArmTraining.take_step

    def taking(training: ArmTraining, batch: Any, taught: Any) -> Any:
        if training.arm.plan.name == arm and training.counters.step == step:
            signal.raise_signal(number)
        return take(training, batch, taught)

    monkeypatch.setattr(ArmTraining, "take_step", taking)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("step", [3, 5, 11], ids=["mid-epoch", "last-of-epoch", "last-of-all"])
def test_a_signal_saves_and_ends_the_run(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int, step: int
) -> None:
    spec = tiny.tiny_spec("edges")
    tiny.tiny_chain(spec, tmp_path / "whole").run()
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        _stop_at(patch, "gen_02", step, number)
        with pytest.raises(InterruptedRunError, match=f"signal {number} in arm gen_02 after step {step + 1}") as caught:
            tiny.tiny_chain(spec, tmp_path / "broken").run()
    assert caught.value.exit_status == status
    assert signal.getsignal(number) is before
    finished = tmp_path / "broken/gen_01/model.safetensors"
    written = finished.stat().st_mtime_ns
    tiny.tiny_chain(spec, tmp_path / "broken").run()
    assert finished.stat().st_mtime_ns == written
    _assert_same(tiny, tmp_path / "whole", tmp_path / "broken")


# -- a signal in an evaluation --------------------------------------------------------------------------------------


def _signalling(spec: TaskSpec, at: int) -> tuple[TaskSpec, list[int]]:
    """`spec` with a signal in evaluated batch `at` of the run, and a list that gets an entry for each of them."""
    predicted: list[int] = []

    def predict(network: Any, images: Any) -> Any:
        # An image by itself is there to be timed.
        predicted.extend([len(images)] if len(images) > 1 else [])
        if len(images) > 1 and len(predicted) == at:
            signal.raise_signal(signal.SIGTERM)
        return spec.predict(network, images)

    return dataclasses.replace(spec, predict=predict), predicted


@pytest.mark.parametrize(
    ("at", "said"),
    [(1, "in arm gen_01 after step 6"), (5, "in an evaluation"), (7, "in an evaluation"), (9, "in arm gen_02 after")],
    ids=["epoch", "finished arm on validation", "finished arm on test", "student's epoch"],
)
def test_a_signal_in_an_evaluation_ends_the_run_before_the_next_batch(
    tiny: ModuleType, tmp_path: Path, at: int, said: str
) -> None:
    spec = tiny.tiny_spec("cls")
    tiny.tiny_chain(spec, tmp_path / "whole").run()
    signalled, seen = _signalling(spec, at)
    with pytest.raises(InterruptedRunError, match=said) as interrupted:
        tiny.tiny_chain(signalled, tmp_path / "broken").run()
    assert interrupted.value.exit_status == 143
    assert len(seen) == at
    tiny.tiny_chain(spec, tmp_path / "broken").run()
    _assert_same(tiny, tmp_path / "whole", tmp_path / "broken")


def test_a_signal_while_given_weights_are_evaluated(tiny: ModuleType, tmp_path: Path) -> None:
    spec = tiny.tiny_spec("cls")
    weights = tmp_path / "teacher.pt"
    torch.save(tiny.TinyNet("cls", width=8).state_dict(), weights)
    settings = {"teacher_weights": str(weights)}
    signalled, seen = _signalling(spec, 2)
    with pytest.raises(InterruptedRunError, match="stopped by signal 15 in an evaluation"):
        tiny.tiny_chain(signalled, tmp_path / "broken", settings).run()
    assert len(seen) == 2
    assert not (tmp_path / "broken/gen_01/arm.json").exists()
    assert len(tiny.tiny_chain(spec, tmp_path / "broken", settings).run()["arms"]) == len(ARMS)


def test_a_signal_while_the_boundary_benchmark_counts() -> None:
    stop = StopSignal()
    read: list[int] = []

    def annotations(place: int) -> np.ndarray:
        read.append(place)
        stop.number = signal.SIGTERM
        return np.eye(8)[None] > 0

    metric = BoundaryBenchmark(annotations)
    batch = {"target": torch.zeros(50, 1, 8, 8), "index": torch.arange(50)}
    metric.update(torch.rand(50, 1, 8, 8), batch)
    metric.heeding(stop.heed)
    with pytest.raises(InterruptedRunError):
        metric.compute()
    assert len(read) < 50


def test_a_finished_run_is_not_run_again(tiny: ModuleType, tmp_path: Path) -> None:
    spec = tiny.tiny_spec("cls")
    first = tiny.tiny_chain(spec, tmp_path).run()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("gen_*/*")}
    chain = tiny.tiny_chain(spec, tmp_path)
    assert chain.run()["arms"] == first["arms"]
    assert chain.networks.built == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("gen_*/*")} == written


def test_killed_between_weights_and_record(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny.tiny_spec("cls")
    tiny.tiny_chain(spec, tmp_path / "whole").run()
    with monkeypatch.context() as patch:
        patch.setattr("densedistill.distill.chain.save_weights", _raise(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            tiny.tiny_chain(spec, tmp_path / "broken").run()
    tiny.tiny_chain(spec, tmp_path / "broken").run()
    _assert_same(tiny, tmp_path / "whole", tmp_path / "broken")


def test_a_line_cut_short_is_written_again(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny.tiny_spec("cls")
    tiny.tiny_chain(spec, tmp_path / "whole").run()
    with monkeypatch.context() as patch:
        _stop_at(patch, "gen_02", 7)
        with pytest.raises(InterruptedRunError):
            tiny.tiny_chain(spec, tmp_path / "broken").run()
    with (tmp_path / "broken/metrics.jsonl").open("a") as file:
        file.write('{"arm": "gen_02", "epoch": 2, "st')
    tiny.tiny_chain(spec, tmp_path / "broken").run()
    _assert_same(tiny, tmp_path / "whole", tmp_path / "broken")


def test_another_environment_is_told(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Log(tiny.SilentLog):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.said: list[tuple[str, str]] = []

        def message(self, text: str, level: str = "info") -> None:
            self.said.append((text, level))

    spec, log = tiny.tiny_spec("cls"), Log()
    with monkeypatch.context() as patch:
        _stop_at(patch, "gen_02", 7)
        with pytest.raises(InterruptedRunError):
            tiny.tiny_chain(spec, tmp_path).run()
    tiny.tiny_chain(spec, tmp_path, precision="bf16", log=log).run()
    warnings = [text for text, level in log.said if level == "warning"]
    assert len(warnings) == 1
    assert "precision was fp32, is bf16" in warnings[0]
    assert "bit-identical" in warnings[0]


# -- a full disk ----------------------------------------------------------------------------------------------------

FULL = OSError(28, "No space left on device")
TORN = RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")


def _raise(error: BaseException) -> Any:
    def failing(*_arguments: Any) -> None:
        raise error

    return failing


@pytest.mark.parametrize("error", [FULL, TORN], ids=["system", "torch"])
@pytest.mark.parametrize("place", ["lessons.checkpoint.save_state", "chain.save_weights", "chain.write_json"])
def test_a_full_disk_leaves_the_last_good_state(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    spec, broken = tiny.tiny_spec("cls"), tmp_path / "broken"
    tiny.tiny_chain(spec, tmp_path / "whole").run()
    with monkeypatch.context() as patch:
        _stop_at(patch, "gen_02", 7)
        with pytest.raises(InterruptedRunError):
            tiny.tiny_chain(spec, broken).run()
    kept = (broken / "gen_02/state/state.pt").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(f"densedistill.distill.{place}", _raise(error))
        with pytest.raises(RunFailedError, match=r"disk is full.*--resume"), naming_failures(broken):
            tiny.tiny_chain(spec, broken).run()
    assert place != "checkpoint.save_state" or (broken / "gen_02/state/state.pt").read_bytes() == kept
    tiny.tiny_chain(spec, broken).run()
    _assert_same(tiny, tmp_path / "whole", broken)
