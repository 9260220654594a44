"""What every command ends with: a sentence and a status for files that cannot be read or written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from densedistill.datasets.base import DataError
from densedistill.datasets.roots import data_root
from densedistill.tools import distill, evaluate, report, study
from densedistill.tools.cli import guarded

Capture = pytest.CaptureFixture[str]
LONG = "x" * 300
SMALL = (
    *("--task", "edges", "--device", "cpu", "--pretrained", "none", "--teacher", "smp/unet-mobilenet_v2"),
    *("--generations", "1", "--set", "data.collages=[8,4,4]", "--set", "data.size=32", "--set", "data.collage_size=32"),
    *("--set", "recipe.views_per_epoch=8", "--batch-size", "4", "--epochs", "1", "--track", "none"),
)


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (errno.EROFS, 2, "'/a/b' cannot be read or written (Read-only file system): mend its place or permissions"),
        (errno.EACCES, 2, "'/a/b' cannot be read or written (Permission denied): mend its place or permissions"),
        (errno.ENOSPC, 3, "the disk is full: '/a/b' cannot be written"),
    ],
)
def test_a_file_is_named_with_what_is_wrong(capsys: Capture, number: int, status: int, said: str) -> None:
    assert guarded(raising(OSError(number, os.strerror(number), "/a/b"))) == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(errno.EIO, "no file"), OSError(errno.EBADF, "closed", 3), KeyError("ours")])
def test_what_names_no_file_is_not_caught(error: Exception) -> None:
    with pytest.raises(type(error)):
        guarded(raising(error))


@pytest.mark.skipif(os.name == "nt", reason="names are other ones")
@pytest.mark.parametrize(
    ("main", "words"),
    [
        (distill.main, ["--task", "edges", "--out", LONG]),
        (distill.main, ["--config", LONG]),
        (distill.main, ["--task", "edges", "--plugin", f"{LONG}.py"]),
        (distill.main, ["--task", "edges", "--data", "bsds500", "--data-root", LONG]),
        (distill.main, ["--task", "edges", "--data", "bsds500", "--data-root", "~no-such-user/x"]),
        (distill.main, [*SMALL, "--out", "/proc/nothing/x"]),
        (distill.main, ["--resume", "--out", LONG]),
        (evaluate.main, ["--run", LONG]),
        (report.main, [LONG]),
        (study.main, ["--study", f"{LONG}.yaml"]),
    ],
    ids=lambda value: " ".join(value[-2:])[:30] if isinstance(value, list) else value.__module__.rpartition(".")[2],
)
def test_bad_places(capsys: Capture, main: Callable[[list[str]], int], words: list[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert shown.count("densedistill: ") == 1
    assert "Traceback" not in shown


def test_a_home_folder_of_nobody_is_named() -> None:
    with pytest.raises(DataError, match=r"'~no-such-user/x' is in no known home folder .* give its path in full"):
        data_root(Path("~no-such-user/x"), "bsds500")


def test_a_report_is_no_file_below_a_file(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert report.main([str(tmp_path), "--out", str(tmp_path / "file")]) == 2
    assert "is a file: give a folder" in capsys.readouterr().err


def test_a_curve_is_no_folder(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "curve.png").mkdir()
    assert evaluate.main(["--run", str(tmp_path), "--curve", str(tmp_path / "curve.png")]) == 2
    assert "is a folder: give the name of a file" in capsys.readouterr().err


def test_a_name_that_is_no_utf8_is_printed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    def command() -> int:
        print(os.fsdecode(b"caf\xe9"))
        return 0

    assert guarded(command) == 0
    assert capfdbinary.readouterr().out == b"caf\xe9\n"
