"""Tasks by name: the built-in ones first, then installed distributions', then plugins."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from densedistill.distill.plugins import load_entry_points
from densedistill.distill.registry import Registry
from densedistill.distill.spec import TaskSpec

BUILT_IN = ("classification", "super_resolution", "edges", "segmentation")
"""Modules of this folder that register a task."""

_TASKS: Registry[TaskSpec] = Registry("task")


def register(name: str) -> Callable[[Callable[[], TaskSpec]], Callable[[], TaskSpec]]:
    """Make the decorated function, which takes nothing and returns a `TaskSpec`, the task `name`.

    Raises:
        RequestError: the name is taken; the registry is unchanged.
    """

    def file(factory: Callable[[], TaskSpec]) -> Callable[[], TaskSpec]:
        # Built-ins first: a plugin that takes a built-in's name is told so, and not the other way round.
        if not factory.__module__.startswith(f"{__package__}."):
            load_built_in()
        _TASKS.add(name, factory)
        return factory

    return file


@functools.cache
def load_built_in() -> None:
    """Import the built-in tasks, then those of installed distributions."""
    for module in BUILT_IN:
        importlib.import_module(f"{__package__}.{module}")
    load_entry_points()


def get(name: str) -> TaskSpec:
    """The task `name`.

    Raises:
        RequestError: no such task; the message lists the choices and the nearest match.
    """
    load_built_in()
    return _TASKS.get(name)


def names() -> list[str]:
    """All tasks' names."""
    load_built_in()
    return list(_TASKS)
