"""Reports in a real browser, where there is one: nothing sticks out of a narrow window, every picture is shown."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from densedistill.distill.report import write_report
from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_page import render_study
from densedistill.distill.report.study_reading import read_study_facts
from densedistill.distill.report.study_samples import study_panels
from densedistill.distill.report.study_tables import study_sheets

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
WIDTHS = (320, 768, 1280)
A4 = 660
"""CSS pixels of a page between its margins, about."""


def probed(page: str, folder: Path, widths: Sequence[int], answer: str) -> dict[int, list[int]]:
    """What the JavaScript expression `answer` gives of the document `inner`, by the width of the window."""
    source = html.escape(page)
    frames = "".join(
        f'<iframe width="{width}" height="800" style="border:0" srcdoc="{source}"></iframe>' for width in widths
    )
    script = f"""
        addEventListener("load", () => {{
          document.title = [...document.querySelectorAll("iframe")].map((frame) => {{
            const inner = frame.contentDocument;
            return [frame.width, ...{answer}].join(",");
          }}).join(";");
        }});
    """
    holder = folder / "frames.html"
    holder.write_text(f"<!DOCTYPE html><title></title><script>{script}</script>{frames}", encoding="utf-8")
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, "--dump-dom", holder.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    title = re.search(r"<title>([^<]+)</title>", done.stdout)
    assert title is not None, done.stderr
    rows = [[int(part) for part in row.split(",")] for row in title[1].split(";")]
    return {row[0]: row[1:] for row in rows}


def study_page(folder: Path) -> str:
    """A study's page without its charts, which take seconds to draw."""
    study = read_study_facts(folder)
    numbers = compute(study)
    return render_study(study, numbers, [], study_sheets(study, numbers), study_panels(study, numbers))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("kind", ["run", "study"])
def test_pages_fit_their_window(fake: ModuleType, tmp_path: Path, kind: str) -> None:
    if kind == "run":
        page = write_report(fake.write_pair(tmp_path / "run", 71.0, 70.0)).read_text(encoding="utf-8")
    else:
        page = study_page(fake.write_grid(tmp_path / "study", seeds=2))
    answer = """[inner.documentElement.scrollWidth, inner.images.length,
                 [...inner.images].filter((one) => !one.naturalWidth).length]"""
    for width, (wide, images, failed) in probed(page, tmp_path, WIDTHS, answer).items():
        assert wide <= width
        assert images > 1
        assert failed == 0


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_numbers_stay_whole_in_print(fake: ModuleType, tmp_path: Path) -> None:
    page = study_page(fake.write_grid(tmp_path / "study", seeds=3)).replace("@media print", "@media all")
    # A figure without a space in it that stands on two lines was broken in between.
    answer = """[[...inner.querySelectorAll(".sheet td.number")].filter((cell) => {
                   const range = inner.createRange();
                   range.selectNodeContents(cell);
                   return !cell.innerText.includes(" ") && range.getClientRects().length > 1;
                 }).length]"""
    assert probed(page, tmp_path, [A4], answer) == {A4: [0]}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_table_s_first_column_stays_in_sight(fake: ModuleType, tmp_path: Path) -> None:
    answer = """(() => {
        const box = inner.querySelector("#comparisons").parentElement;
        box.scrollLeft = 300;
        const cell = box.querySelector("tbody th").getBoundingClientRect();
        return [box.scrollLeft, Math.round(cell.left - box.getBoundingClientRect().left)];
    })()"""
    [(scrolled, left)] = probed(
        study_page(fake.write_grid(tmp_path / "study", seeds=2)), tmp_path, [390], answer
    ).values()
    assert scrolled == 300
    assert left == 1
