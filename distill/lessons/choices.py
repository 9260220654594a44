"""Choices that depend on the machine's moment: made once for a lesson, written down, and kept after a restart.

Free memory and measured times differ from one hour to the next. A run that was killed must go on as it began, so what
was chosen from them is read back and not chosen again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densedistill.distill.errors import RequestError
from densedistill.distill.files import read_json, write_json


class Choices:
    """Named values in a small file, which is replaced as a whole at each new one."""

    def __init__(self, file: Path, *, write: bool) -> None:
        self.file, self._write = file, write
        self._values: dict[str, Any] = {}
        if file.is_file():
            try:
                self._values = read_json(file)
            except RequestError:
                # Cut short by a crash of the machine: nothing that followed from it was saved either.
                self._values = {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def take(self, values: Mapping[str, object]) -> None:
        """Write `values` down, before anything follows from them."""
        self._values |= values
        if self._write:
            write_json(self.file, self._values)
