"""Tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io

from densedistill.distill.report.sheets import Cell, Sheet, cell, spread_cell, to_csv, to_latex, to_markdown
from densedistill.distill.statistics import spread

SHEET = Sheet(
    name="x",
    title="Arms",
    note="50 % of a_b",
    heads=("arm", "dice, %"),
    rows=(
        (Cell("a|b, c_d"), cell(71.23456, "%")),
        (Cell("α & β"), cell(None)),
        (Cell("e"), cell(-0.5, "%", signed=True)),
    ),
)


def test_csv_keeps_full_precision_and_leaves_absent_figures_empty() -> None:
    assert list(csv.reader(io.StringIO(to_csv(SHEET)))) == [
        ["arm", "dice, %"],
        ["a|b, c_d", "71.23456"],
        ["α & β", ""],
        ["e", "-0.5"],
    ]


def test_markdown_escapes_its_bars() -> None:
    assert to_markdown(SHEET).splitlines() == [
        "**Arms**",
        "",
        "| arm | dice, % |",
        "| --- | ---: |",
        r"| a\|b, c_d | 71.23 |",
        "| α & β | – |",
        "| e | −0.50 |",
        "",
        "50 % of a_b",
    ]


def test_latex_escapes_what_it_reads() -> None:
    told = to_latex(SHEET)
    assert r"a|b, c\_d & 71.23 \\" in told
    assert r"$\alpha$ \& $\beta$ & -- \\" in told
    assert r"e & $-$0.50 \\" in told
    assert r"\caption{Arms. 50 \% of a\_b}" in told
    assert r"\begin{tabular}{lr}" in told


def test_a_deviation_is_shown_where_there_is_one() -> None:
    assert spread_cell(spread([1.0, 2.0]), "%").shown == "1.50 ± 0.71"
    assert spread_cell(spread([1.0]), "%").shown == "1.00"
    assert spread_cell(None, "%").shown == "–"
