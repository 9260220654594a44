"""Taking a teacher over: with its record, once, and only where it is the same network."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from densedistill.distill.adoption import adopt_teacher
from densedistill.distill.errors import RequestError
from densedistill.distill.run_dir import RunDir
from densedistill.distill.spec import NetworkSpec

NETWORK = NetworkSpec(name="tiny/cls", arguments={"width": 8})


def finished(path: Path) -> RunDir:
    run = RunDir(path)
    arm = run.arm("gen_01")
    arm.path.mkdir(parents=True)
    arm.weights.write_bytes(b"weights")
    what = {"arm": "gen_01", "generation": 1, "role": "teacher", "builder": "tiny_task"}
    built = {"network": "tiny/cls", "arguments": {"width": 8, "dropout": 0.1}}
    arm.record_file.write_text(json.dumps({**what, **built, "val": 1}))
    return run


def test_weights_and_record_are_taken(tmp_path: Path) -> None:
    theirs, mine = finished(tmp_path / "theirs"), RunDir(tmp_path / "mine")
    adopt_teacher(mine, theirs.path, NETWORK)
    assert mine.arm("gen_01").record() == theirs.arm("gen_01").record()
    assert mine.arm("gen_01").weights.read_bytes() == b"weights"
    # A run of its own from here on: the other one's folder may go.
    theirs.arm("gen_01").record_file.unlink()
    adopt_teacher(mine, theirs.path, NETWORK)


def test_a_file_system_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_paths: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refusing)
    theirs, mine = finished(tmp_path / "theirs"), RunDir(tmp_path / "mine")
    adopt_teacher(mine, theirs.path, NETWORK)
    weights = mine.arm("gen_01").weights
    assert weights.read_bytes() == b"weights"
    assert not weights.samefile(theirs.arm("gen_01").weights)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (NetworkSpec(name="tiny/other"), "tiny/cls there, tiny/other here"),
        (NetworkSpec(name="tiny/cls", arguments={"width": 9}), "width 8 there, 9 here"),
    ],
)
def test_another_teacher_is_refused(tmp_path: Path, expected: NetworkSpec, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        adopt_teacher(RunDir(tmp_path / "mine"), finished(tmp_path / "theirs").path, expected)
    assert not (tmp_path / "mine").exists()


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no finished gen_01"):
        adopt_teacher(RunDir(tmp_path / "mine"), tmp_path / "theirs", NETWORK)
