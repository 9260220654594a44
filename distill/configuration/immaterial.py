"""Fields of a configuration that change no figure: how data are read, and what is looked at beside the run."""

from __future__ import annotations

from collections.abc import Iterable

HOW_DATA_ARE_READ = ("data.workers", "data.memory_budget_mb", "data.download")
"""By how many processes, from memory or disk, and whether what is missing is fetched: views have the same pixels."""
IMMATERIAL = (
    *HOW_DATA_ARE_READ,
    "track",
    "doctor",
    "speed.prefetch",
    "speed.keep_freed_memory",
    "teacher_cache_root",
)
"""Two runs that differ in these alone have the same figures, and one may go on as the other."""


def among(path: str, fields: Iterable[str]) -> bool:
    """Whether the dotted `path` is one of `fields` or lies in one: `recipe.epochs` lies in `recipe`."""
    return any(path == field or path.startswith(f"{field}.") for field in fields)
