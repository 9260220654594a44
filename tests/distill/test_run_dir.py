"""A run's files that were damaged: what is left is used, or the file is named with what to do about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.lessons.choices import Choices
from densedistill.distill.run_dir import RunDir

WHOLE = {
    "arm": "gen_01",
    "generation": 1,
    "role": "teacher",
    "network": "a/b",
    "arguments": {},
    "builder": "densedistill.backbones",
}


def test_a_record_has_the_keys_that_are_needed(tmp_path: Path) -> None:
    folder = RunDir(tmp_path).arm("gen_01")
    folder.path.mkdir()
    folder.record_file.write_text(json.dumps(WHOLE))
    assert folder.record() == WHOLE
    with pytest.raises(RequestError, match=r"arm\.json' lacks val, test: remove it and resume .* this whole arm again"):
        folder.record("val", "role", "test")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1]", b"{}", b""])
def test_a_damaged_examination_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "doctor.json").write_bytes(content)
    with pytest.raises(RequestError, match=r"doctor\.json' .*: remove it and resume the run"):
        RunDir(tmp_path).doctor()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1]", b'{"data": 3}', b""])
def test_a_damaged_result_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(RequestError, match=r"result\.json' .*: remove it and resume the run, which writes it anew"):
        RunDir(tmp_path).result()


def test_lines_of_no_epoch_are_dropped(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    lines = [{"arm": "gen_01", "epoch": 1}, {"arm": "gen_02", "epoch": 1}, {"arm": "gen_02", "epoch": 2}]
    for line in lines:
        run.append_metrics(line)
    with run.metrics_file.open("ab") as file:
        file.write(b'[1]\n3\nnull\n{"arm": "gen_01"}\n{"arm": "gen_02", "epoch": "x"}\n{"arm": "\xff", "epo\n\xff\n')
    run.drop_metrics("gen_02", 2)
    assert [json.loads(line) for line in run.metrics_file.read_text().splitlines()] == lines[:2]


@pytest.mark.parametrize("content", [b"[1]", b"\xff", b"", b"{"])
def test_choices_that_cannot_be_read_are_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "choices.json").write_bytes(content)
    choices = Choices(tmp_path / "choices.json", write=True)
    assert "micro_batch" not in choices
    choices.take({"micro_batch": 4})
    assert Choices(tmp_path / "choices.json", write=False)["micro_batch"] == 4
