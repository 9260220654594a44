"""Figures and tables of a report as files of their own, beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from densedistill.distill.files import replacing
from densedistill.distill.report.contact_sheet import contact_sheet
from densedistill.distill.report.drawing import Chart, add_legend, as_png, as_svg
from densedistill.distill.report.panels import Panels
from densedistill.distill.report.sheets import Sheet, to_csv, to_latex, to_markdown


def write_beside(page: Path, charts: Sequence[Chart], sheets: Sequence[Sheet], panels: Panels | None = None) -> Path:
    """Write `figures/NAME.{svg,png}` and `tables/NAME.{csv,md,tex}` into the folder of `page`, named like it.

    Sample pictures become `figures/samples.png`. Figures get their legends, which the page shows apart from them.
    Files of earlier reports that are not written anew are removed, so that the folder always is what the page shows.
    Returns the folder.
    """
    folder = page.with_name(f"{page.stem}_files")
    written = set()
    for chart in charts:
        add_legend(chart)
        for suffix, content in (("svg", as_svg(chart.figure)), ("png", as_png(chart.figure))):
            written.add(_write(folder / "figures" / f"{file_name(chart.name)}.{suffix}", content))
    if panels is not None:
        written.add(_write(folder / "figures" / "samples.png", contact_sheet(panels)))
    for sheet in sheets:
        for suffix, text in (("csv", to_csv(sheet)), ("md", to_markdown(sheet)), ("tex", to_latex(sheet))):
            written.add(
                _write(folder / "tables" / f"{file_name(sheet.name)}.{suffix}", text.encode(errors="backslashreplace"))
            )
    for part in ("figures", "tables"):
        for stale in (folder / part).glob("*.*"):
            if stale not in written:
                stale.unlink()
    return folder


def file_name(name: str) -> str:
    """A name with nothing in it that a file system or LaTeX stumbles over."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.") or "unnamed"


def _write(path: Path, content: bytes) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path
