"""The grid of sample pictures: what `panels/panels.json` lists, with every picture inside the page."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from densedistill.distill.report import words
from densedistill.distill.report.values import entries, fields, text

_MIME = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_ICON_WIDTH = 64
"""Pictures up to this width are shown in whole multiples of their pixels."""
_ICON_SHOWN = 128
_PICTURE_SHOWN = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture inside the page."""

    source: str
    """Data URI."""
    width: int
    height: int
    pixelated: bool
    """Whether it is shown so large that smoothing would invent detail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What one column says about one image."""

    picture: Picture | None
    caption: str
    missing: bool
    """A picture was promised and could not be read."""
    correct: bool | None
    """Whether the prediction is right, where the run says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One image through all columns."""

    name: str
    shown: int
    """Width of its pictures on the page, in CSS pixels."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panels:
    """The whole grid."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_panels(folder: Path, arms: Sequence[str]) -> Panels | None:
    """The grid of a run folder whose arms are `arms`; None where it has none or it is not finished being written."""
    listed = _listed(folder)
    columns = [name for name in listed.get("columns", []) if isinstance(name, str)]
    rows = tuple(_row(folder, columns, row) for row in entries(listed.get("rows")))
    if not columns or not rows:
        return None
    named = words.roles(arms, columns)
    return Panels(columns=tuple(named[name] for name in columns), rows=rows)


def read_columns(folder: Path, columns: Sequence[str]) -> Panels | None:
    """Some columns of a run's grid by their names in it; None where the run has no grid, or not all of them."""
    listed = _listed(folder)
    rows = tuple(_row(folder, columns, row) for row in entries(listed.get("rows")))
    return (
        Panels(columns=tuple(columns), rows=rows) if rows and set(columns) <= set(listed.get("columns", [])) else None
    )


def _listed(folder: Path) -> Mapping[str, Any]:
    """What `panels.json` holds; an empty object where there is none, or half of one."""
    try:
        return fields(json.loads((folder / "panels" / "panels.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _row(folder: Path, columns: Sequence[str], row: Mapping[str, Any]) -> Row:
    listed = fields(row.get("cells"))
    sizes = {name: _size(folder, text(fields(listed.get(name)).get("image"))) for name in columns}
    widest = max((size[0] for size in sizes.values() if size is not None), default=_ICON_WIDTH)
    shown = max(1, _ICON_SHOWN // widest) * widest if widest <= _ICON_WIDTH else _PICTURE_SHOWN
    cells = tuple(_cell(folder, fields(listed.get(name)), sizes[name], shown) for name in columns)
    return Row(name=text(row.get("id")), shown=shown, cells=cells)


def _cell(folder: Path, cell: Mapping[str, Any], size: tuple[int, int] | None, shown: int) -> Cell:
    image = text(cell.get("image"))
    correct = cell.get("correct")
    return Cell(
        picture=_picture(folder / image, size, shown) if size is not None else None,
        caption=text(cell.get("caption")),
        missing=bool(image) and size is None,
        correct=correct if isinstance(correct, bool) else None,
    )


def _size(folder: Path, image: str) -> tuple[int, int] | None:
    """Width and height of a picture of this run; None for one that is not there or lies outside the run."""
    path = folder / image
    if path.suffix.lower() not in _MIME or not path.resolve().is_relative_to(folder.resolve()):
        return None
    try:
        with Image.open(path) as opened:
            return opened.size
    except (OSError, UnidentifiedImageError):
        return None


def _picture(path: Path, size: tuple[int, int], shown: int) -> Picture:
    encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    return Picture(
        source=f"data:{_MIME[path.suffix.lower()]};base64,{encoded}",
        width=size[0],
        height=size[1],
        pixelated=2 * size[0] <= shown,
    )
