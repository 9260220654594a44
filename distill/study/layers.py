"""Settings in layers: a study's base, its conditions, its arms. A later layer has the last word."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densedistill.distill.configuration.config import Request
from densedistill.distill.configuration.immaterial import among
from densedistill.distill.errors import RequestError

FLAGS = {
    "data": "data.name",
    "data_root": "data.root",
    "teacher_size": "data.teacher_size",
    "epochs": "recipe.epochs",
    "batch_size": "recipe.batch_size",
}
"""Names of `distill.py`'s flags, and the fields that they set."""
REPLACED = {"method": "method", "teacher": "networks.0", "student": "networks.1"}
"""Flags that replace a whole part of the configuration: what earlier layers set below it belongs to what was there."""


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """All `layers` as one, by field; flags by the fields that they set."""
    settings: dict[str, Any] = {}
    for layer in layers:
        for flag in [flag for flag in REPLACED if flag in layer]:
            for field in [field for field in settings if field == flag or among(field, (REPLACED[flag],))]:
                del settings[field]
            settings[flag] = layer[flag]
        for name, value in layer.items():
            if name not in REPLACED:
                field = FLAGS.get(name, name)
                # Set anew and last: of `data` and `data.name` the later one counts.
                settings.pop(field, None)
                settings[field] = value
    return settings


def expanded(field: str, value: Any, paths: Container[str]) -> Any:
    """`value`, with environment variables in place of their names where `field` is one of `paths`.

    Raises:
        RequestError: there is no such variable.
    """
    if field not in paths or not isinstance(value, str):
        return value
    path = os.path.expandvars(value)
    if "$" in path:
        raise RequestError(f"{field}: '{value}' names an environment variable that is not set: set it, or give a path.")
    return path


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """Merged settings as a run's request takes them."""

    preset: str
    method: str | None
    teacher: str | None
    student: str | None
    settings: tuple[tuple[str, object], ...]

    @classmethod
    def of(cls, preset: str, settings: Mapping[str, Any], paths: Container[str]) -> RunSettings:
        """From the answer of `merged`; `paths` are the fields of `path_fields`."""
        return cls(
            preset=preset,
            method=settings.get("method"),
            teacher=settings.get("teacher"),
            student=settings.get("student"),
            settings=tuple(
                (field, expanded(field, value, paths)) for field, value in settings.items() if field not in REPLACED
            ),
        )

    def request(self, plugins: Sequence[str] = ()) -> Request:
        """For `resolve`."""
        return Request(
            preset=self.preset,
            method=self.method,
            teacher=self.teacher,
            student=self.student,
            settings=self.settings,
            plugins=tuple(plugins),
        )
