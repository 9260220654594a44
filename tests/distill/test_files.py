"""What is written takes its place in one step, with the rights that the user's umask leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.files import is_temporary, read_json, replacing, write_json, write_text
from densedistill.distill.report.page import write_report_and_files


@pytest.fixture
def only_mine() -> Iterator[None]:
    """A user who shares no file."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def write_half(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("{")
        raise TypeError


def test_a_name_that_is_no_utf8_is_written_as_it_was_or_spelt_out(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    write_text(tmp_path / "a.csv", name)
    assert (tmp_path / "a.csv").read_bytes() == b"caf\xe9.png"
    write_text(tmp_path / "a.html", name, undecoded="backslashreplace")
    assert (tmp_path / "a.html").read_text() == "caf\\udce9.png"
    write_json(tmp_path / "a.json", {"image": name})
    assert read_json(tmp_path / "a.json") == {"image": name}


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe\x00", b"[1]", b"3", b"null"])
def test_what_holds_no_object_is_named_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "arm.json").write_bytes(content)
    with pytest.raises(RequestError, match=r"arm\.json' (is not valid JSON \(.*\)|holds no JSON object): mend it\."):
        read_json(tmp_path / "arm.json", "mend it")


def test_an_error_names_the_file_and_not_its_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a" / "result.json"
    path.parent.mkdir()
    with pytest.raises(OSError, match="No such file") as caught, replacing(path) as temporary:
        temporary.read_text()
    assert caught.value.filename == str(path)


def test_a_failure_keeps_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_half(path)
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="rights are POSIX's")
def test_a_report_is_as_private_as_the_rest(tmp_path: Path, fake: ModuleType, only_mine: None) -> None:
    run = fake.write_pair(tmp_path / "run", 60.0, 55.0)
    write_report_and_files(run, run / "report.html")
    written = [path for path in (run / "report.html", *(run / "report_files").rglob("*")) if path.is_file()]
    assert {oct(path.stat().st_mode & 0o777) for path in written} == {"0o600"}


def test_what_a_killed_report_leaves_behind_is_known(
    tmp_path: Path, fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fake.write_pair(tmp_path / "run", 60.0, 55.0)
    moved: list[Path] = []
    monkeypatch.setattr(Path, "replace", lambda self, target: moved.append(self))
    write_report_and_files(run, run / "report.html")
    assert len(moved) > 3
    assert all(is_temporary(path) for path in moved)
