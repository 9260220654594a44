"""Decoded JSON, narrowed to the type a reader expects; what does not fit reads as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fields(value: object) -> Mapping[str, Any]:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def entries(value: object) -> tuple[Mapping[str, Any], ...]:
    """The objects in the list `value`; empty where it is no list."""
    return tuple(entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()


def number(value: object) -> float | None:
    """`value` as a float (which may be NaN or infinite), None where it is no number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def integer(value: object) -> int | None:
    """`value` where it is an integer, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def numbers(value: object) -> dict[str, float]:
    """The numbers among the members of the object `value`, by name."""
    return {
        name: float(member)
        for name, member in fields(value).items()
        if isinstance(member, int | float) and not isinstance(member, bool)
    }


def text(value: object) -> str:
    """`value` where it is a string, else an empty one."""
    return value if isinstance(value, str) else ""
