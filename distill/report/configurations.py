"""Resolved configurations side by side: which fields differ, and how runs are named after them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType

from densedistill.distill.configuration.immaterial import IMMATERIAL, among
from densedistill.distill.report.values import fields
from densedistill.distill.yaml_text import parse_yaml

_OF_THE_RUN = (
    *IMMATERIAL,
    "seed",
    "plugins",
    "device",
    "teacher_run",
    "compared_with",
    "only",
    "controls",
    "data.root",
)
"""Fields that do not make runs different experiments: what changes no figure, where things lie, and which arms a run
trains."""
_OF_TEACHING = (
    "method",
    "networks.0",
    "teacher_weights",
    "pretrained_teacher_recipe",
    "data.teacher_size",
    "generation_recipes.1",
)
SHORT = {"temperature": "T", "alpha": "α", "nckd_weight": "NCKD weight", "tckd_weight": "TCKD weight"}


@functools.cache
def flat(config: str) -> Mapping[str, object]:
    """A configuration file's fields by dotted path; lists and empty sections stay whole.

    Asked for again and again by every part of a report, and a text takes longer to parse than a part to write.
    """
    return MappingProxyType(_flat(fields(parse_yaml(config)), "") if config else {})


def experiment(config: str) -> dict[str, object]:
    """The fields that make a run the experiment it is: without its seed, trackers and where things lie."""
    return {name: value for name, value in flat(config).items() if not among(name, _OF_THE_RUN)}


def of_teaching(name: str) -> bool:
    """Whether a field changes nothing for a student that learns without a teacher; how labels are taken does."""
    return among(name, _OF_TEACHING) and name != "method.label_smoothing"


def differing(configs: Sequence[Mapping[str, object]]) -> list[str]:
    """The fields in which configurations differ, in the order of the first that has them."""
    names = dict.fromkeys(name for config in configs for name in config)
    return [name for name in names if len({exact(config.get(name)) for config in configs}) > 1]


def exact(value: object) -> str:
    """A configured value to compare: two files of one name in unlike folders are two; absent and empty is the same."""
    return value if isinstance(value, str) else written(value)


def written(value: object) -> str:
    """A configured value in a line of text, a file by its name alone; absent and empty ones are empty."""
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return PurePath(value).name if PurePath(value).is_absolute() else value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def label(config: Mapping[str, object], names: Sequence[str]) -> str:
    """`T 4, α 0.9`: a configuration by the fields that tell it from others."""
    told = []
    for name in names:
        last = name.rpartition(".")[2]
        value = written(config.get(name)) or "none"
        told.append(
            value if name in ("method.name", "preset") else f"{SHORT.get(last, last.replace('_', ' '))} {value}"
        )
    return ", ".join(told)


def _flat(section: Mapping[str, object], prefix: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in section.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            found |= _flat({str(place): item for place, item in enumerate(value)}, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
