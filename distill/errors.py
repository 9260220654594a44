"""What can go wrong, sorted by who can mend it: the request (exit 2), the run (exit 3), an interruption."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system calls a disk, or a user's share of it, that holds no more."""


class RequestError(ValueError):
    """The request is wrong; the message says which value, why, and what to give instead (exit status 2)."""


class RunFailedError(RuntimeError):
    """The run failed on its way; the last good state is kept and the message says how to go on (exit status 3)."""


class InterruptedRunError(RuntimeError):
    """A signal stopped the run after its state was saved; `exit_status` is 128 plus the signal's number."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status
        self.folder: Path | None = None
        """The run's, where it has one."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something, or the error's kind where none does.

    Of a compiler's error it is its cause's. A full stop at its end is left away: the line stands within our sentence.
    """
    cause = getattr(error, "inner_exception", error)
    lines = (line.strip() for line in str(cause).splitlines())
    return next((line for line in lines if line), "").rstrip(".") or type(cause).__name__


def unknown_name(kind: str, name: object, choices: Iterable[str]) -> str:
    """One sentence for an unknown `name`: the nearest match, then every choice."""
    known = sorted(choices)
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    return f"unknown {kind} '{name}'.{hint} Choose one of: {', '.join(known) or '(none)'}."
