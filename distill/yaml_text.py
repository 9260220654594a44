"""YAML as our files and flags have it: plain values, and one error where the text stands for none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from densedistill.distill.errors import RequestError, first_line


class UnreadableYamlError(ValueError):
    """A text that is no YAML, or whose value is none: `2020-13-45` reads as a date, and there is no such day."""


def parse_yaml(text: str) -> object:
    """The value that `text` stands for, of plain types alone.

    Raises:
        UnreadableYamlError: there is none; the message is one line.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError) as error:
        # PyYAML's makers of dates, numbers and booleans raise what Python does, where a text only looks like one.
        raise UnreadableYamlError(first_line(error)) from None


def read_mapping(path: Path, kind: str, instead: str) -> dict[str, Any]:
    """The fields in the YAML file `path`; `kind` says in messages what the file is, `instead` which one to give.

    Raises:
        RequestError: missing, or not YAML, or not a mapping.
    """
    if not path.is_file():
        raise RequestError(f"{kind} '{path}' does not exist: give {instead}.")
    try:
        value = parse_yaml(path.read_text(encoding="utf-8"))
    except (UnreadableYamlError, UnicodeDecodeError) as error:
        raise RequestError(f"{kind} '{path}' is not readable as YAML ({first_line(error)}).") from None
    if not isinstance(value, dict):
        raise RequestError(f"{kind} '{path}' must hold a mapping of fields: give {instead}.")
    return value
