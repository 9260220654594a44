"""Whole runs through the command line and `run`: what is written, what is said, and how a run goes on."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from densedistill.distill.configuration.recipe import FROZEN
from densedistill.distill.errors import RequestError
from densedistill.distill.lessons.training import ArmTraining
from densedistill.tasks import run
from densedistill.tools.distill import main

WORDS = ("--task", "tiny_cls", "--device", "cpu", "--precision", "fp32", "--track", "none")
ARMS = ("gen_01", "gen_02", "gen_02_scratch")


class Bare(BaseModel):
    """Data that lie nowhere."""

    model_config = FROZEN

    name: Literal["bare"] = "bare"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DENSEDISTILL_DATA", raising=False)


def _strike(monkeypatch: pytest.MonkeyPatch, arm: str, step: int, blow: Any) -> None:
    take = ArmTraining.take_step

    def taking(training: ArmTraining, batch: Any, taught: Any) -> Any:
        if training.arm.plan.name == arm and training.counters.step == step:
            blow()
        return take(training, batch, taught)

    monkeypatch.setattr(ArmTraining, "take_step", taking)


def _same_weights(tiny: ModuleType, first: Path, second: Path) -> bool:
    return all(tiny.same_bytes(first / arm / "model.safetensors", second / arm / "model.safetensors") for arm in ARMS)


def test_a_run_writes_what_the_contract_names(tiny: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path("out")
    assert main([*WORDS, "--track", "tensorboard", "--out", "out"]) == 0
    shown = capsys.readouterr().out
    assert "report: out/report.html" in shown
    assert {path.name for path in out.iterdir()} >= {
        "config.yaml",
        "metrics.jsonl",
        "result.json",
        "report.html",
        "tensorboard",
        *ARMS,
    }
    for arm in ARMS:
        assert sorted(path.name for path in (out / arm).iterdir()) == ["arm.json", "model.safetensors"]
    result = json.loads((out / "result.json").read_text())
    assert result["schema"] == 1
    assert result["command"][2:] == [*WORDS, "--track", "tensorboard", "--out", "out"]
    assert [arm["arm"] for arm in result["arms"]] == list(ARMS)


def test_the_written_configuration_repeats_the_run(tiny: ModuleType) -> None:
    assert main([*WORDS, "--seed", "3", "--set", "method.alpha=0.5", "--out", "first"]) == 0
    assert main(["--config", "first/config.yaml", "--out", "second"]) == 0
    assert _same_weights(tiny, Path("first"), Path("second"))
    assert Path("first/config.yaml").read_text() == Path("second/config.yaml").read_text()


def test_sigterm_exits_143_and_the_printed_command_goes_on(
    tiny: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*WORDS, "--out", "whole"]) == 0
    with monkeypatch.context() as patch:
        _strike(patch, "gen_02", 4, lambda: signal.raise_signal(signal.SIGTERM))
        assert main([*WORDS, "--out", "broken"]) == 143
    said = capsys.readouterr().err
    assert "stopped by signal 15 in arm gen_02 after step 5; the state is saved." in said
    again = shlex.split(said.partition("Go on with: ")[2])
    assert again[:2] == ["python", "tools/distill.py"]
    written = Path("broken/gen_01/model.safetensors").stat().st_mtime_ns
    assert main(again[2:]) == 0
    assert Path("broken/gen_01/model.safetensors").stat().st_mtime_ns == written
    assert _same_weights(tiny, Path("whole"), Path("broken"))


def test_the_printed_command_goes_on_where_the_folder_was_not_named(
    tiny: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        _strike(patch, "gen_01", 4, lambda: signal.raise_signal(signal.SIGTERM))
        assert main([*WORDS]) == 143
    again = shlex.split(capsys.readouterr().err.partition("Go on with: ")[2])
    # Another run may be the latest by then.
    assert main(WORDS) == 0
    assert main(again[2:]) == 0
    runs = list(Path("runs/tiny_cls").iterdir())
    assert [(run / "result.json").is_file() for run in runs] == [True, True]


def test_resuming_before_anything_was_written_starts_the_run(tiny: ModuleType) -> None:
    Path("out").mkdir()
    Path("out/.config.yaml.123.tmp").write_text("half of a configur")
    assert main([*WORDS, "--epochs", "1", "--out", "out", "--resume"]) == 0
    assert Path("out/result.json").is_file()


def test_a_full_disk_exits_3_and_can_be_resumed(
    tiny: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill() -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        _strike(patch, "gen_02", 4, fill)
        assert main([*WORDS, "--out", "broken"]) == 3
    said = capsys.readouterr().err
    assert "the disk is full" in said
    assert "Traceback" not in said
    assert main([*WORDS, "--out", "broken", "--resume"]) == 0
    assert main([*WORDS, "--out", "whole"]) == 0
    assert _same_weights(tiny, Path("whole"), Path("broken"))


def test_a_loss_that_is_not_finite_exits_3(tiny: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--set", "recipe.optimizer=sgd", "--set", "recipe.learning_rate=1e30", "--out", "out"]) == 3
    said = capsys.readouterr().err
    assert "arm gen_01" in said
    assert "recipe.learning_rate" in said
    assert "Traceback" not in said


def test_a_given_teacher_is_not_trained(tiny: ModuleType) -> None:
    assert main([*WORDS, "--epochs", "1", "--out", "first"]) == 0
    weights = "first/gen_01/model.safetensors"
    assert main([*WORDS, "--epochs", "1", "--teacher-weights", weights, "--out", "second"]) == 0
    assert _same_weights(tiny, Path("first"), Path("second"))
    teacher = json.loads(Path("second/result.json").read_text())["arms"][0]
    assert teacher["init"] == "file model.safetensors"
    assert (teacher["epochs"], teacher["seconds"]) == (0, 0.0)
    assert "gen_01" not in Path("second/metrics.jsonl").read_text()


def test_student_weights_are_the_start_of_generation_2_alone(tiny: ModuleType) -> None:
    assert main([*WORDS, "--epochs", "1", "--out", "first"]) == 0
    words = ("--epochs", "1", "--generations", "3", "--student-weights", "first/gen_02/model.safetensors")
    assert main([*WORDS, *words, "--out", "second"]) == 0
    starts = {arm["arm"]: arm["init"] for arm in json.loads(Path("second/result.json").read_text())["arms"]}
    assert starts == {
        "gen_01": "random",
        "gen_02": "file model.safetensors",
        "gen_02_scratch": "file model.safetensors",
        "gen_03": "random",
        "gen_03_scratch": "random",
    }


def test_a_data_folder_in_the_environment_does_not_disturb_embedded_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DENSEDISTILL_DATA", "somewhere")
    for task in ("cls", "sr", "edges"):
        assert main(["--task", task, "--print-config"]) == 0
        assert "somewhere" not in capsys.readouterr().out


def test_run_from_python_gives_the_result(tiny: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"recipe.views_per_epoch": 8, "method.alpha": 0.25}
    result = run(
        "tiny_edges", device="cpu", precision="fp32", epochs=1, controls=[], settings=settings, track=[], out="out"
    )
    assert result.path == Path("out")
    assert result.summary == json.loads(Path("out/result.json").read_text())
    assert 0 <= result.arm("gen_02")["test"] <= 1
    assert capsys.readouterr().out == ""
    with pytest.raises(KeyError):
        result.arm("gen_02_scratch")
    with pytest.raises(RequestError, match="already holds a run"):
        run("tiny_edges", out="out")


def test_dry_run_writes_nothing(tiny: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--dry-run", "--batch-size", "2"]) == 0
    shown = capsys.readouterr().out
    assert all(arm in shown for arm in ARMS)
    assert "2x3x8x8" in shown
    assert list(Path.cwd().iterdir()) == []
