"""The contact sheet: every picture is in it, in its place, and what is missing leaves its place empty."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from densedistill.distill.report.contact_sheet import contact_sheet
from densedistill.distill.report.export import write_beside
from densedistill.distill.report.panels import Cell, Panels, Picture, Row

COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}


def cell(colour: str | None, caption: str = "") -> Cell:
    """A picture twice as wide as high."""
    if colour is None:
        return Cell(picture=None, caption=caption, missing=True, correct=None)
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), COLOURS[colour]).save(buffer, "png")
    source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Cell(
        picture=Picture(source=source, width=40, height=20, pixelated=False),
        caption=caption,
        missing=False,
        correct=True,
    )


def panels() -> Panels:
    first = Row(name="a", shown=40, cells=(cell("red"), cell("green", "28.1 dB")))
    second = Row(name="b", shown=40, cells=(cell(None, "gone"), cell("blue")))
    return Panels(columns=("input", "student"), rows=(first, second))


def area(drawn: np.ndarray, colour: str) -> tuple[int, float, float]:
    """Pixels of this very colour, and the middle of them (row, column)."""
    rows, columns = np.nonzero((drawn == COLOURS[colour]).all(axis=2))
    return len(rows), float(rows.mean()), float(columns.mean())


def test_every_picture_is_in_its_place() -> None:
    with Image.open(io.BytesIO(contact_sheet(panels()))) as opened:
        drawn = np.asarray(opened.convert("RGB"))
    red, green, blue = (area(drawn, colour) for colour in COLOURS)
    assert abs(red[0] - green[0]) < 0.02 * red[0]
    assert red[2] < drawn.shape[1] / 2 < green[2]
    assert abs(red[1] - green[1]) < 2
    assert abs(green[2] - blue[2]) < 2
    assert blue[1] > green[1]


def test_it_lies_beside_the_page_and_goes_with_the_pictures(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    samples = write_beside(page, [], [], panels()) / "figures" / "samples.png"
    assert samples.is_file()
    write_beside(page, [], [])
    assert not samples.exists()
