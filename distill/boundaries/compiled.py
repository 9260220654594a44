"""Compiling loops over pixels with Numba, once for each machine.

Imported only by the modules that hold such loops, and these only when a benchmark runs: Numba takes a second to load.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

from densedistill.distill.machine.cache_folder import cache_folder

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`function` as machine code that runs without Python's global lock, so that threads share the work.

    The machine code is kept in the user's cache folder. Numba's own choice would be the folder of the source file,
    which for an installed package is nobody's to write to.
    """
    folder = _writable(cache_folder() / "numba")
    settings: Any = numba.config
    before = settings.CACHE_DIR
    try:
        # Numba looks at its setting when the function is wrapped, and another package's functions may follow.
        if not before and folder is not None:
            settings.CACHE_DIR = str(folder)
        wrapped: Any = numba.njit(nogil=True, cache=bool(before) or folder is not None)(function)
    finally:
        settings.CACHE_DIR = before
    kernel: Callable[Arguments, Result] = wrapped
    return kernel


def _writable(folder: Path) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
