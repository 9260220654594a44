"""Code from outside the repository that registers tasks and networks: a file, a dotted module, or an entry point."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from densedistill.distill.errors import RequestError

ENTRY_POINT_GROUP = "densedistill.tasks"


def load_plugin(reference: str) -> None:
    """Import a plugin given as a path to a `.py` file or as a dotted module name.

    A file is imported by its stem, with its folder on `sys.path`, so that worker processes can import it too. An error
    inside the plugin is not wrapped: its own traceback says where.

    Raises:
        RequestError: no such file or module, or another module of that name is already imported.
    """
    if not reference.endswith(".py"):
        if not reference or reference.startswith("."):
            raise RequestError(
                f"plugin '{reference}' is no module's name: give a .py file's path, or a module as Python imports it."
            )
        try:
            importlib.import_module(reference)
        except ModuleNotFoundError as error:
            # Only the plugin itself, or a package it lies in, is the user's slip; what it fails to import is its own.
            if error.name is None or not f"{reference}.".startswith(f"{error.name}."):
                raise
            raise RequestError(
                f"plugin '{reference}' is neither a .py file nor an importable module: give the file's path."
            ) from None
        return
    path = Path(reference).resolve()
    if not path.is_file():
        raise RequestError(
            f"plugin file '{reference}' does not exist (looked for {path}): give the path of a .py file."
        )
    loaded = sys.modules.get(path.stem)
    if loaded is not None:
        if Path(getattr(loaded, "__file__", None) or "").resolve() != path:
            raise RequestError(
                f"plugin file '{reference}' has the name of a module already in use ({path.stem}): rename the file."
            )
        return
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    importlib.import_module(path.stem)


def recorded_plugins(config: Mapping[str, object]) -> tuple[str, ...]:
    """The plugins that a configuration names, not yet loaded.

    Raises:
        RequestError: they are no list of names.
    """
    plugins = config.get("plugins", ())
    if isinstance(plugins, list | tuple) and all(isinstance(name, str) for name in plugins):
        return tuple(plugins)
    raise RequestError(f"plugins={plugins!r}: must be a list of files and modules, such as [my_tasks.py], or [].")


def load_entry_points() -> None:
    """Import every installed distribution's tasks (entry-point group `densedistill.tasks`)."""
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        entry_point.load()
