"""Reports in a real browser, where there is one: nothing sticks out of a narrow window, every picture is shown."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from densedistill.distill.report import write_report
from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_page import render_study
from densedistill.distill.report.study_reading import read_study
from densedistill.distill.report.study_samples import study_panels
from densedistill.distill.report.study_tables import study_sheets

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
WIDTHS = (320, 768, 1280)


def measured(page: Path, folder: Path) -> dict[int, tuple[int, int, int]]:
    """Width of the document, pictures and pictures that failed, by the width of the window."""
    source = html.escape(page.read_text(encoding="utf-8"))
    frames = "".join(
        f'<iframe width="{width}" height="800" style="border:0" srcdoc="{source}"></iframe>' for width in WIDTHS
    )
    script = """
        addEventListener("load", () => {
          document.title = [...document.querySelectorAll("iframe")].map((frame) => {
            const inner = frame.contentDocument, images = [...inner.images];
            return [frame.width, inner.documentElement.scrollWidth, images.length,
                    images.filter((one) => !one.naturalWidth).length].join(",");
          }).join(";");
        });
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
    return {width: (wide, images, failed) for width, wide, images, failed in rows}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("kind", ["run", "study"])
def test_pages_fit_their_window(fake: ModuleType, tmp_path: Path, kind: str) -> None:
    if kind == "run":
        page = write_report(fake.write_pair(tmp_path / "run", 71.0, 70.0))
    else:
        page = tmp_path / "study.html"
        study = read_study(fake.write_grid(tmp_path / "study", seeds=2))
        numbers = compute(study)
        sheets, panels = study_sheets(study, numbers), study_panels(study, numbers)
        page.write_text(render_study(study, numbers, [], sheets, panels), encoding="utf-8")
    for width, (wide, images, failed) in measured(page, tmp_path).items():
        assert wide <= width
        assert images > 1
        assert failed == 0
