"""The sample pictures of a page as one picture, for documents that cannot hold the page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from densedistill.distill.report.drawing import INK, STYLE, as_png
from densedistill.distill.report.panels import Cell, Panels, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN = 1.7
"""Inches of a picture's width."""
TEXT = 0.22
"""Inches for a caption or a heading."""


def contact_sheet(panels: Panels) -> bytes:
    """The grid as PNG: a line for each image, the columns' names above, what is said of each picture below it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    heights = [COLUMN * max((_tall(cell.picture) for cell in row.cells), default=1.0) + TEXT for row in panels.rows]
    size = (COLUMN * len(panels.columns), sum(heights) + TEXT)
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(panels.rows), len(panels.columns), squeeze=False, height_ratios=heights)
        for place, (row, drawn) in enumerate(zip(panels.rows, grid, strict=True)):
            for axes, cell, column in zip(drawn, row.cells, panels.columns, strict=True):
                _draw(axes, cell, row.name if axes is drawn[0] else "")
                if place == 0:
                    axes.set_title(column, fontsize=8.5, loc="center", wrap=True)
        return as_png(figure)


def _tall(picture: Picture | None) -> float:
    return 0.0 if picture is None else picture.height / picture.width


def _draw(axes: Axes, cell: Cell, name: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if cell.picture is not None:
        axes.imshow(_pixels(cell.picture), interpolation="nearest" if cell.picture.pixelated else "antialiased")
    mark = "" if cell.correct is None else " ✓" if cell.correct else " ✗"
    told = "  ".join(part for part in (name, cell.caption + mark) if part)
    if told:
        axes.set_xlabel(told, fontsize=7, color=INK)


def _pixels(picture: Picture) -> np.ndarray:
    encoded = picture.source.partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as opened:
        return np.asarray(opened.convert("RGB"))
