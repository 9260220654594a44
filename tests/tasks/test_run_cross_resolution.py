"""`--teacher-size` through the commands, with real networks on embedded photographs of 16 pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.progress import SilentLog
from densedistill.tasks import run
from densedistill.tools import evaluate
from densedistill.tools.distill import main

STRONG = {
    "auto_augment": "cifar10",
    "random_erasing": {"probability": 0.25, "scale": [0.02, 0.2]},
    "mixup": {"beta": 0.8},
    "cutmix": {"beta": 1.0},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch of two steps of each arm, with everything on that the reference's strong recipe has."""
    settings = {
        "data.limit": 2,
        "recipe.views_per_epoch": 32,
        "method.label_smoothing": 0.1,
        **{f"data.augmentation.{key}": value for key, value in STRONG.items()},
    }
    done = run(
        "cls",
        teacher="cifar/resnet14",
        student="cifar/resnet8",
        teacher_size=32,
        epochs=1,
        batch_size=16,
        device="cpu",
        precision="fp32",
        pretrained="none",
        track=[],
        settings=settings,
        out=tmp_path_factory.mktemp("runs") / "sizes",
        log=SilentLog(),
    )
    return done.path


def record(run_dir: Path, arm: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run_dir / arm / "arm.json").read_text())
    return found


def test_networks_are_built_for_their_own_size(finished: Path) -> None:
    sides = {arm: record(finished, arm)["arguments"]["input_size"] for arm in ("gen_01", "gen_02", "gen_02_scratch")}
    assert sides == {"gen_01": 32, "gen_02": 16, "gen_02_scratch": 16}
    result = json.loads((finished / "result.json").read_text())
    assert any("teacher sees 32 pixels and its students 16" in note for note in result["data"]["notes"])
    fidelity = {arm["arm"]: arm["fidelity"] for arm in result["arms"]}
    assert set(fidelity["gen_02"]) >= {"agreement", "kl", "ece_scaled", "class_change_from_scratch"}
    assert "Fidelity to the teacher" in (finished / "report.html").read_text()


@pytest.mark.parametrize("arm", ["gen_01", "gen_02"])
def test_each_arm_is_scored_again_at_its_size(finished: Path, arm: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert evaluate.main(["--run", str(finished), "--arm", arm, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found == pytest.approx(record(finished, arm)["tests"]["photo-crops"], rel=0, abs=1e-9)


@pytest.mark.parametrize("task", ["sr", "edges"])
def test_tasks_with_one_size_refuse_it(task: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--task", task, "--teacher-size", "64", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "leave --teacher-size out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_size_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"data\.teacher_size=4: input should be greater than or equal to 8"):
        run("cls", teacher_size=4, out=tmp_path / "out")


def test_two_policies_are_refused(tmp_path: Path) -> None:
    settings = {"data.augmentation.auto_augment": "cifar10", "data.augmentation.rand_augment": {"magnitude": 5}}
    with pytest.raises(RequestError, match="leave one of them out"):
        run("cls", settings=settings, out=tmp_path / "out")
