"""Writing files so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from densedistill.distill.errors import DISK_FULL, RequestError, first_line

Undecoded = Literal["surrogateescape", "backslashreplace"]

TRAINED_AGAIN = "remove it and resume the run, which then trains this whole arm again"
"""The remedy for a damaged arm.json: the arm's state is gone by then, and its figures stand nowhere else in full."""
WRITTEN_ANEW = "remove it and resume the run, which writes it anew"
"""The remedy for what follows from other files of the run."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success its file takes `path`'s place, on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and str(error.filename) == str(temporary):
            # Whoever reads the message knows the file by its own name.
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def first_file_in(folder: Path) -> Iterator[None]:
    """Around the writing of the first file of `folder`.

    Raises:
        RequestError: nothing can be written there. A full disk is no fault of the folder, and goes on as it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise RequestError(f"'{folder}' cannot be written ({error.strerror}): give --out another folder.") from None


def grant(path: Path) -> None:
    """Give a file that another library made private the rights that every new file gets: those the umask leaves."""
    plain = path.with_name(f"{path.name}.plain.tmp")
    try:
        plain.touch()
        path.chmod(stat.S_IMODE(plain.stat().st_mode))
    finally:
        plain.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether `path` is what a process that was killed while writing left behind."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def write_text(path: Path, text: str, *, undecoded: Undecoded = "surrogateescape") -> None:
    """Write `text` as UTF-8, atomically.

    Args:
        path: of the file.
        text: of any characters.
        undecoded: what becomes of bytes of a file's name that were no UTF-8, and came into `text` with it. A program
            that opens the file again needs them as they were (`surrogateescape`, which makes them those bytes); people
            need a document that is UTF-8 throughout (`backslashreplace`, which names them).
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=undecoded)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as JSON atomically; not-a-number and infinity are refused (they are no JSON)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, remedy: str = "remove it, or put the original back in its place") -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: of the file.
        remedy: what to do about a file that holds none, as the end of a sentence.

    Raises:
        RequestError: what is in the file is no JSON, or no object.
    """
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RequestError(f"'{path}' is not valid JSON ({first_line(error)}): {remedy}.") from error
    if not isinstance(value, dict):
        raise RequestError(f"'{path}' holds no JSON object: {remedy}.")
    return value
