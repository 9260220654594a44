"""Each run has a folder of its own: two that start within a second, or are given the same --out, do not mix."""

from __future__ import annotations

import errno
import importlib
import os
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.run_dir import RunDir
from densedistill.distill.run_parts import RunParts
from densedistill.tasks import run_folder
from densedistill.tasks.request import RunRequest
from densedistill.tools.distill import main

running: Any = importlib.import_module("densedistill.tasks.run")

WORDS = ("--task", "tiny_cls", "--device", "cpu", "--precision", "fp32", "--generations", "1", "--track", "none")


class StoppedClock:
    """Every run starts within the same second."""

    @staticmethod
    def now() -> datetime:
        return datetime(2030, 1, 2, 3, 4, 5)


@pytest.fixture(autouse=True)
def _same_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "datetime", StoppedClock)


def resolved(**changes: Any) -> Any:
    return RunRequest(task="tiny_cls", **changes).resolve()


def test_runs_of_one_second_have_a_folder_each(tiny: ModuleType) -> None:
    one = Path("runs/tiny_cls/20300102-030405-demo")
    with run_folder.new_folder(resolved()) as first, run_folder.new_folder(resolved()) as second:
        assert (first, second) == (one, one.with_name(f"{one.name}-2"))
        assert first.is_dir()
        assert second.is_dir()
        (second / "config.yaml").touch()
    assert list(Path("runs/tiny_cls").iterdir()) == [second]
    with run_folder.new_folder(resolved()) as third:
        assert third == one


def test_a_run_that_is_refused_leaves_no_folder(tiny: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--batch-size", "100000000000"]) == 2
    assert "give --batch-size" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tiny: ModuleType) -> None:
    Path("runs").touch()
    with pytest.raises(RequestError, match=r"'runs/tiny_cls/.*' cannot be made .*: give --out another folder"):
        run_folder.new_folder(resolved()).__enter__()
    Path("runs").unlink()
    Path("runs").symlink_to("nowhere")
    with pytest.raises(RequestError, match="cannot be made"):
        run_folder.new_folder(resolved()).__enter__()


def _refusing(number: int) -> Any:
    def refuse(*_arguments: object, **_words: object) -> None:
        raise OSError(number, os.strerror(number), "out")

    return refuse


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("number", [errno.EROFS, errno.ENAMETOOLONG, errno.ENOENT])
def test_a_folder_that_cannot_be_written_is_one_sentence(
    tiny: ModuleType, monkeypatch: pytest.MonkeyPatch, number: int, begun: bool
) -> None:
    monkeypatch.setattr(RunDir, "write_config", _refusing(number))
    with pytest.raises(RequestError, match=r"'out' cannot be written \(.*\): give --out another folder"):
        run_folder.begin(RunDir(Path("out")), resolved(), begun=begun)


def test_a_disk_that_is_full_is_no_wrong_request(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunDir, "write_config", _refusing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        run_folder.begin(RunDir(Path("out")), resolved(), begun=True)


@pytest.mark.parametrize("linked", [True, False])
def test_two_runs_do_not_begin_in_one_folder(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch, linked: bool) -> None:
    if not linked:

        def refuse(*_paths: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    folder = RunDir(Path("out"))
    first, second = resolved(seed=1), resolved(seed=2)
    assert [run_folder.claim(folder, each, False) for each in (first, second)] == [False, False]
    run_folder.begin(folder, first, begun=False)
    with pytest.raises(RequestError, match="another process has begun a run in 'out'"):
        run_folder.begin(folder, second, begun=False)
    assert [path.name for path in folder.path.iterdir()] == ["config.yaml"]
    assert folder.config()["seed"] == 1
    assert run_folder.claim(folder, first, True)
    run_folder.begin(folder, first, begun=True)


def test_a_second_process_in_the_same_folder_is_refused_before_it_trains(
    tiny: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here the other one begins while this one tries a step."""
    original = running.preflight

    def meanwhile(parts: RunParts) -> Any:
        RunDir(Path("out")).write_config({**parts.resolved.config.plain(), "seed": 7})
        return original(parts)

    monkeypatch.setattr(running, "preflight", meanwhile)
    assert main([*WORDS, "--epochs", "1", "--out", "out"]) == 2
    assert "another process has begun a run in 'out'" in capsys.readouterr().err
    assert [path.name for path in Path("out").iterdir()] == ["config.yaml"]
    assert RunDir(Path("out")).config()["seed"] == 7
