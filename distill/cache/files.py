"""The files of a teacher cache: whose they are, whether they can be used, and how they are made and removed.

    teacher-cache.json          the key: what the answers depend on, and how they are laid out; written last
    teacher-cache.index         for each answer the CRC-32 of its bytes; 0: none yet
    teacher-cache.N.COLUMN      the answers, N = 0 for the output, then the taps in the key's order

No other file in the folder is ever touched. A kill at any moment leaves a whole cache, or one that lacks its key or
another of its files and is made anew.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densedistill.distill import wording
from densedistill.distill.cache.plan import CHECKSUM_BYTES, CachePlan
from densedistill.distill.errors import RequestError
from densedistill.distill.files import read_json, write_json

FORMAT = 1
"""Version of the files' layout."""

KEY_FILE = "teacher-cache.json"
INDEX_FILE = "teacher-cache.index"
_OWN = re.compile(r"teacher-cache\.(json|index|\d+\.(values|places|rest))|\.teacher-cache\.json\.\d+\.tmp")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class CacheFiles:
    """A cache's files as they have to be."""

    folder: Path
    record: dict[str, Any]
    """The key as it is written."""
    plan: CachePlan

    @classmethod
    def of(cls, folder: Path, key: Mapping[str, Any], plan: CachePlan) -> CacheFiles:
        """The files in `folder` for answers that depend on `key`."""
        record = {"format": FORMAT, "key": key, "layout": plan.layout()}
        # As it will be read: JSON has no tuples and no numbers as names.
        return cls(folder, json.loads(json.dumps(record, allow_nan=False)), plan)

    def columns(self) -> Iterator[tuple[Path, type[np.generic], tuple[int, ...]]]:
        """Path, type and shape of each file of answers."""
        for number, tensor in enumerate(self.plan.tensors):
            for column in tensor.columns:
                path = self.folder / f"teacher-cache.{number}.{column.name}"
                yield path, column.dtype, (self.plan.slots, *column.shape)

    def sizes(self) -> dict[Path, int]:
        """Bytes of each file, but for the key."""
        index = {self.folder / INDEX_FILE: self.plan.slots * CHECKSUM_BYTES}
        return index | {
            path: int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            for path, dtype, shape in self.columns()
        }

    def present(self) -> list[Path]:
        """The folder's files that a cache made."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _OWN.fullmatch(path.name))

    def fault(self) -> str | None:
        """Why the files that are there cannot be used, as the end of a sentence; None where they can."""
        key_file = self.folder / KEY_FILE
        if not key_file.exists():
            return "was left unfinished"
        try:
            found: object = read_json(key_file)
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict):
            return f"has a key that cannot be read ({KEY_FILE})"
        differing = differences(found, self.record)
        if differing:
            return f"was made with another {', another '.join(differing)}"
        for path, size in self.sizes().items():
            actual = path.stat().st_size if path.is_file() else None
            if actual != size:
                has = "no" if actual is None else f"{actual} bytes in place of {size} of"
                return f"has {has} {path.name}"
        return None

    @property
    def usable(self) -> bool:
        """Whether a whole cache of this key is there."""
        return bool(self.present()) and self.fault() is None

    def remove(self) -> None:
        """Delete the cache's files."""
        for path in self.present():
            path.unlink()

    def create(self) -> None:
        """Make an empty cache, with room on the disk for every answer.

        Raises:
            RequestError: the disk is full or the folder cannot be written to; what was made of it is removed.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path, size in self.sizes().items():
                _reserve(path, size)
            write_json(self.folder / KEY_FILE, self.record)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise unusable(self.folder, error) from None
            self.remove()
            raise _no_room(self.plan, self.folder, f"the disk refused them ({error.strerror})") from None


def require_space(folder: Path, key: Mapping[str, Any], plan: CachePlan) -> None:
    """Refuse a cache that the disk has no room for, before anything is written.

    A cache of the same key needs nothing more; one of another key will be deleted, and its room counts as free.

    Raises:
        RequestError: needed and free bytes, and what to give instead.
    """
    files = CacheFiles.of(folder, key, plan)
    try:
        if files.usable:
            return
        free = _free_bytes(folder) + sum(path.lstat().st_size for path in files.present())
    except OSError as error:
        raise unusable(folder, error) from None
    if plan.bytes > free:
        raise _no_room(plan, folder, f"{free:,} are free ({wording.size(free)})", free // (plan.bytes // plan.cycle))


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Dotted names of the fields that differ, with short values spelt out: `seed (0, now 1)`."""
    before, now = dict(_leaves(found)), dict(_leaves(wanted))
    named = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, "absent"), now.get(name, "absent")
        if old != new:
            field = name.removeprefix("key.")
            named.append(f"{field} ({old}, now {new})" if max(len(old), len(new)) <= 24 else field)
    return named


def unusable(folder: Path, error: OSError) -> RequestError:
    """For a folder that cannot be read or written."""
    return RequestError(
        f"the teacher cache's folder '{folder}' cannot be used ({error.strerror or error}): give a folder that can be "
        "written to."
    )


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner if isinstance(inner, str) else json.dumps(inner)


def _reserve(path: Path, size: int) -> None:
    """A new file of zeros whose room on the disk is taken.

    A file with holes would not do: where the disk is full, a write into a mapped hole ends the process (SIGBUS).
    """
    with path.open("xb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        zeros = bytes(2**20)
        for start in range(0, size, len(zeros)):
            file.write(zeros[: size - start])


def _free_bytes(folder: Path) -> int:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _no_room(plan: CachePlan, folder: Path, found: str, fitting: int = 0) -> RequestError:
    advice = [f"--teacher-cache {fitting} (the most that fits)"] if fitting else []
    if len(plan.output.shape) == 1:
        advice.append("fewer logits to keep of each view")
    advice.append("a folder on a disk with more room")
    return RequestError(
        f"the teacher cache needs {plan.bytes:,} bytes in '{folder}', where {found}; it would hold {plan.describe()}. "
        f"Give {', or '.join(advice)}."
    )
