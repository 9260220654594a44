"""Which fields of a configuration are paths, and how they are written: it may be read from another directory."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from densedistill.distill.configuration.config import RunConfig
from densedistill.distill.spec import TaskSpec


def path_fields(spec: TaskSpec) -> frozenset[str]:
    """The fields that the configuration, the data options and the methods' parameters declare as paths.

    In a study's settings `$NAME` stands in them for an environment variable, so that its file names no machine's
    folders.
    """
    found = {*_paths(RunConfig, "")}
    for preset in spec.presets.values():
        found |= _paths(type(preset.data), "data.")
    for name, method in spec.methods.items():
        for part in ("method.", f"method.also.{name}."):
            found |= _paths(type(method.parameters), part)
    return frozenset(found)


def _paths(model: type[BaseModel], part: str) -> set[str]:
    fields = model.model_fields.items()
    return {f"{part}{name}" for name, field in fields if field.annotation in (Path, Path | None)}


def absolute_settings(settings: Iterable[tuple[str, object]], paths: Container[str]) -> list[tuple[str, object]]:
    """`settings`, by dotted path, with the fields `paths` in them independent of the working directory."""
    return [(field, _absolute(field, value, paths)) for field, value in settings]


def absolute_fields(config: Mapping[str, Any], paths: Container[str]) -> dict[str, Any]:
    """A plain configuration with the fields `paths` of it independent of the working directory."""
    return {field: _absolute(field, value, paths) for field, value in config.items()}


def _absolute(field: str, value: Any, paths: Container[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _absolute(f"{field}.{name}", inner, paths) for name, inner in value.items()}
    named = field in paths and isinstance(value, Path | str) and value != ""
    return str(Path(value).absolute()) if named else value
