"""Tables that leave the page: as CSV with full precision, as Markdown to commit, as LaTeX to print."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from densedistill.distill import wording
from densedistill.distill.statistics import Spread

_LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "\N{MINUS SIGN}": "$-$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "→": r"$\rightarrow$",
        "α": r"$\alpha$",
        "β": r"$\beta$",
        "<": "$<$",
        ">": "$>$",
        "–": "--",
    }
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of a table."""

    shown: str
    """For people."""
    raw: str | float | int | None = None
    """For programs; `shown` where None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A table."""

    name: str
    """Of its files."""
    title: str
    note: str = ""
    """What its columns mean."""
    heads: tuple[str, ...]
    texts: int = 1
    """How many columns from the left hold words; the others hold figures."""
    rows: tuple[tuple[Cell, ...], ...]


def cell(value: float | None, unit: str = "", *, signed: bool = False) -> Cell:
    """A figure, written with its unit's digits and without the unit."""
    return Cell(wording.figure(value, unit, signed=signed, bare=True), value)


def spread_cell(spread: Spread | None, unit: str) -> Cell:
    """`71.20 ± 0.31`; without the deviation of one value."""
    if spread is None:
        return Cell(wording.ABSENT)
    about = "" if spread.std is None else f" ± {wording.figure(spread.std, unit, bare=True)}"
    return Cell(f"{wording.figure(spread.mean, unit, bare=True)}{about}", spread.mean)


def to_csv(sheet: Sheet) -> str:
    """Comma-separated values with a head; figures in full precision, absent ones empty."""
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(sheet.heads)
    for row in sheet.rows:
        lines.writerow([_raw(entry) for entry in row])
    return written.getvalue()


def to_markdown(sheet: Sheet) -> str:
    """A table of GitHub's Markdown, ready to commit, with its title above and its note below."""
    rule = ["---" if place < sheet.texts else "---:" for place in range(len(sheet.heads))]
    lines = [sheet.heads, rule, *([entry.shown for entry in row] for row in sheet.rows)]
    table = "\n".join(f"| {' | '.join(_escaped(part) for part in line)} |" for line in lines)
    note = f"\n{sheet.note}\n" if sheet.note else ""
    return f"**{sheet.title}**\n\n{table}\n{note}"


def to_latex(sheet: Sheet) -> str:
    """A `table` for LaTeX with the package booktabs."""
    columns = "".join("l" if place < sheet.texts else "r" for place in range(len(sheet.heads)))
    body = [[entry.shown for entry in row] for row in sheet.rows]
    lines = "\n".join(_latex_line(row) for row in body)
    caption = " ".join(part for part in (f"{sheet.title}.", sheet.note) if part).translate(_LATEX)
    return (
        "\\begin{table}\n  \\centering\n"
        f"  \\caption{{{caption}}}\n  \\label{{tab:{sheet.name}}}\n"
        f"  \\begin{{tabular}}{{{columns}}}\n    \\toprule\n{_latex_line(sheet.heads)}\n    \\midrule\n"
        f"{lines}\n    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n"
    )


def _raw(entry: Cell) -> str:
    if entry.raw is not None:
        return str(entry.raw)
    return "" if entry.shown == wording.ABSENT else entry.shown


def _escaped(part: str) -> str:
    return part.replace("|", "\\|").replace("\n", " ")


def _latex_line(parts: Sequence[str]) -> str:
    return f"    {' & '.join(part.translate(_LATEX) for part in parts)} \\\\"
