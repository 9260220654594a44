"""What can be wrong about a request for a network."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED_IN_FULL = 80


class NetworkError(ValueError):
    """A network or its weights that cannot be had as asked: which value, why, and what to give instead."""


class WeightsUnavailableError(NetworkError):
    """The provider's weights cannot be had here and now: no such weights, no connection, no cached copy."""


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> str:
    """One sentence for an unknown `name`: its nearest matches, and every choice where they are few."""
    known = sorted(choices)
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(match) for match in nearest)}?" if nearest else "."
    if len(known) <= _LISTED_IN_FULL:
        hint += f" Choose one of: {', '.join(known) or '(none)'}."
    return f"unknown {kind} '{name}'{hint}"
