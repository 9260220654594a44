"""Many presets tried in one command: figures kept, nothing tried twice, faults named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from densedistill.tools import dry_runs
from densedistill.tools.dry_run_worker import main as worker

SMALL = (
    *("--teacher", "cifar/resnet14", "--student", "cifar/resnet8", "--batch-size", "8", "--device", "cpu"),
    *("--pretrained", "none", "--set", "data.limit=4", "--set", "data.input_size=16"),
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Workers run in this process, which has imported everything; their arguments are noted."""
    asked: list[list[str]] = []

    def run(words: list[str], *, check: bool) -> None:
        assert not check
        assert words[1:3] == ["-m", "densedistill.tools.dry_run_worker"]
        asked.append(words[3:])
        worker(words[3:])

    monkeypatch.setattr(dry_runs.subprocess, "run", run)
    return asked


def test_each_preset_is_tried_once_and_has_its_rows(
    here: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--task", "cls", "--presets", "demo", "--out", str(tmp_path), "--", *SMALL]
    assert dry_runs.main(command) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| `demo`")]
    assert [row[1] for row in rows] == [f"gen_0{n}, cifar/resnet{d}" for n, d in ((1, 14), (2, 8))] + [
        "gen_02_scratch, cifar/resnet8"
    ]
    assert [row[3] for row in rows] == ["8 × 3 × 16 × 16"] * 3
    assert [row[4] for row in rows] == ["5", "7", "7"]
    kept = json.loads((tmp_path / "demo.json").read_text())
    assert (kept["task"], kept["preset"], kept["config"]["recipe"]["batch_size"]) == ("cls", "demo", 8)
    assert all(arm["memory_bytes"] > 0 and arm["seconds_per_step"] > 0 for arm in kept["arms"])
    assert dry_runs.main(command) == 0
    assert len(here) == 1


def test_a_preset_that_cannot_be_tried_is_named_after_the_others(
    here: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dry_runs.main(["--task", "cls", "--presets", "demo", "--out", str(tmp_path), "--", "--teacher", "x/y"]) == 2
    shown = capsys.readouterr()
    assert "no figures of demo: their messages stand above" in shown.err
    assert "'x/y'" in shown.err
    assert list(tmp_path.iterdir()) == []
    assert len(here) == 1


def test_an_unknown_preset_is_refused_before_any_is_tried(
    here: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dry_runs.main(["--task", "cls", "--presets", "demo,papre", "--out", str(tmp_path)]) == 2
    assert "Did you mean 'paper'" in capsys.readouterr().err
    assert here == []
