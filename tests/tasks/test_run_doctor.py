"""A run and the doctor: examined by the command, before it starts, on record, and left out on request."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from densedistill.distill.doctor import examination
from densedistill.distill.errors import RunFailedError
from densedistill.distill.progress import SilentLog
from densedistill.tasks import run
from densedistill.tools import distill, doctor

QUICK = {"epochs": 1, "track": [], "device": "cpu", "precision": "fp32", "log": SilentLog()}


def test_the_command_examines_and_leaves_nothing(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor.main(["--task", "tiny_cls", "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    assert found["status"] == "pass"
    assert {"KL direction", "alpha 0 is plain training", "memory planned"} <= {
        one["check"] for one in found["findings"]
    }
    assert list(tmp_path.iterdir()) == []


def test_a_run_records_its_examination_and_goes_on_without(tiny: ModuleType, tmp_path: Path) -> None:
    first = run("tiny_cls", doctor="always", controls=[], out=tmp_path / "run", **QUICK)  # type: ignore[arg-type]
    recorded = json.loads((tmp_path / "run/doctor.json").read_text())
    assert first.summary["doctor"]["status"] == recorded["status"] == "pass"
    assert first.summary["doctor"]["checks"] == len(recorded["findings"]) > 8
    assert [one["status"] for one in first.summary["doctor"]["findings"]] == ["skip"]
    again = run(None, doctor="never", out=tmp_path / "run", resume=True, log=SilentLog())
    assert again.summary["doctor"] == first.summary["doctor"]


def test_a_short_run_has_no_examination(tiny: ModuleType, tmp_path: Path) -> None:
    done = run("tiny_cls", generations=1, out=tmp_path / "run", **QUICK)  # type: ignore[arg-type]
    assert done.summary["doctor"] is None
    assert not (tmp_path / "run/doctor.json").exists()


def test_a_fault_ends_a_long_run_before_anything_is_written(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(examination, "FEWEST_EMBEDDED", 1)
    monkeypatch.setattr(examination, "LONG_RUN_SECONDS", 0.0)
    monkeypatch.setattr(examination, "SHARE", 1e6)
    # A network whose weights are not what it answers with: the saved student would be another.
    forward = tiny.TinyNet.forward
    monkeypatch.setattr(tiny.TinyNet, "forward", lambda net, images: forward(net, images) + id(net) % 977)
    command = [
        "--task",
        "tiny_cls",
        "--device",
        "cpu",
        "--epochs",
        "1",
        "--track",
        "none",
        "--out",
        str(tmp_path / "run"),
    ]
    assert distill.main(command) == 3
    said = capsys.readouterr().err
    assert "student alone reloads" in said
    assert "--no-doctor" in said
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunFailedError, match="Nothing was trained"):
        run("tiny_cls", out=tmp_path / "run", **QUICK)  # type: ignore[arg-type]
    assert distill.main([*command, "--generations", "1", "--no-doctor"]) == 0


def test_a_run_of_an_earlier_version_goes_on(tiny: ModuleType, tmp_path: Path) -> None:
    run("tiny_cls", generations=1, out=tmp_path / "run", **QUICK)  # type: ignore[arg-type]
    config = tmp_path / "run/config.yaml"
    kept = [line for line in config.read_text().splitlines(keepends=True) if not line.startswith("doctor:")]
    assert len(kept) == len(config.read_text().splitlines()) - 1
    config.write_text("".join(kept))
    assert run(None, out=tmp_path / "run", resume=True, log=SilentLog()).summary["complete"]
