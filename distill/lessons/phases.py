"""Where the time of a step goes, for whoever wants to measure it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

Phases = Callable[[str], AbstractContextManager[object]]
"""Entered by name around each part of a step: `data`, `teacher`, `forward`, `backward`, `optimiser`."""


def unmeasured(_name: str) -> AbstractContextManager[object]:
    """Measures nothing."""
    return contextlib.nullcontext()
