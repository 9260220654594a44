"""Built-in studies by name and size."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.study import StudyDefinition

Maker = Callable[[], StudyDefinition]

MODULES = (
    "kd_vs_scratch",
    "chain",
    "temperature_alpha",
    "dkd",
    "cross_resolution",
    "capacity",
    "enhancements",
    "nckd_mixup",
)
"""Modules of this folder; each has `STUDIES`: makers by name, then size."""


def studies() -> dict[str, Mapping[str, Maker]]:
    """Every study's makers, by name, then size (`demo`, `paper`)."""
    found: dict[str, Mapping[str, Maker]] = {}
    for module in MODULES:
        found |= importlib.import_module(f"{__package__}.{module}").STUDIES
    return found


def built_in(name: str, size: str) -> StudyDefinition:
    """The study `name` in the size `size`.

    Raises:
        RequestError: no such study, or no such size of it; the message lists the choices and the nearest match.
    """
    known = studies()
    if name not in known:
        raise RequestError(unknown_name("study", name, known) + " A study of your own is a YAML file.")
    if size not in known[name]:
        raise RequestError(unknown_name(f"preset of study {name}", size, known[name]))
    return known[name][size]()
