"""One visual language for all figures: strokes, canvases, and what a drawn figure becomes.

Figures are drawn by matplotlib without pyplot. It is imported when the first one is drawn: a run imports this module
at its start, and draws at its end.
"""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from densedistill.distill.arm_names import ArmName, Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design", without black and yellow: apart for every common colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B")
MUTED = "#9aa1ab"
INK = "#3b424c"
DASHES: Mapping[Kind, tuple[float, ...]] = {"scratch": (4.0, 2.0), "direct": (1.2, 1.6)}
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "grid.color": "#e6e9ee",
    "text.color": INK,
    "xtick.color": "#5b6470",
    "ytick.color": "#5b6470",
    "svg.fonttype": "path",
    "svg.hashsalt": "densedistill",
}
_STYLES: Sequence[tuple[tuple[float, ...], str]] = (((), "o"), ((7.0, 1.5, 1.5, 1.5), "s"), ((1.2, 1.6), "^"))
"""Dashes and marker of the first, second and third arm of one colour."""
_PALE = 0.4
# Matplotlib's viridis without its palest end: an order that shows as one, for many arms along an axis.
_RAMP = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#aadc32")
WIDTH, HEIGHT = 5.6, 3.2
"""Inches of a figure; 100 CSS pixels each."""
PNG_DPI = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Stroke:
    """How an arm is drawn in every figure of its run."""

    colour: str
    dashes: tuple[float, ...]
    """Lengths on and off in line widths; empty for a solid line."""
    marker: str = "o"
    """Matplotlib's: `o`, and `s` or `^` where there are more arms than colours."""
    hollow: bool = False
    """Of a control: bars and points are outlines."""
    width: float
    """Points. Later arms lie on top and are thinner, so that arms with equal values all show."""


Legend = tuple[tuple[str, Stroke], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One figure."""

    name: str
    """Of its files."""
    title: str
    note: str
    source: str
    """The SVG as a data URI."""
    alternative: str
    """The figure in words, for those who cannot see it."""
    figure: Figure
    legend: Legend = ()
    """Drawn into exported files; on the page it stands once above its charts."""

    @property
    def width(self) -> int:
        """CSS pixels."""
        return round(100 * float(self.figure.get_figwidth()))

    @property
    def height(self) -> int:
        """CSS pixels."""
        return round(100 * float(self.figure.get_figheight()))


def strokes(arms: Sequence[str]) -> dict[str, Stroke]:
    """A colour for each arm of a run in order; the dashes tell controls from the chain."""
    kinds = [DASHES.get(ArmName.parse(arm).kind, ()) for arm in arms]
    return {
        arm: unlike(place, len(arms), dashes=dashes, hollow=bool(dashes))
        for place, (arm, dashes) in enumerate(zip(arms, kinds, strict=True))
    }


def unlike(
    place: int, count: int, *, dashes: tuple[float, ...] = (), hollow: bool = False, colour: str | None = None
) -> Stroke:
    """The stroke of the arm number `place` of `count`: a colour of the palette, and from the second time that a colour
    comes up dashes and a marker of its own. `dashes` and `colour` are given where these say something else."""
    style, marker = _STYLES[place // len(PALETTE) % len(_STYLES)]
    return Stroke(
        colour=colour or PALETTE[place % len(PALETTE)],
        dashes=dashes or (() if colour else style),
        marker="o" if colour else marker,
        hollow=hollow,
        width=_width(place, count),
    )


def ramp(place: int, count: int) -> str:
    """The colour number `place` of `count` in an order that shows as one."""
    at = place / max(1, count - 1) * (len(_RAMP) - 1)
    low = min(int(at), len(_RAMP) - 2)
    ends = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in (_RAMP[low], _RAMP[low + 1])]
    mixed = (round(a + (at - low) * (b - a)) for a, b in zip(*ends, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def text_on(colour: str) -> str:
    """Black or white, whichever can be read on `colour` (`#rrggbb`), by its relative luminance (WCAG 2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#1c2127" if luminance > _PALE else "white"


def canvas(
    *, height: float = HEIGHT, rows: int = 1, columns: int = 1, sharex: bool = False, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of `height` inches with `rows` x `columns` axes, in reading order."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        drawn = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
        axes = [one for row in drawn for one in row]
        for one in axes:
            one.ticklabel_format(axis="y", useOffset=False)
    return figure, axes


def chart(name: str, title: str, figure: Figure, alternative: str, *, note: str = "", legend: Legend = ()) -> Chart:
    """A drawn figure as a chart."""
    source = base64.b64encode(as_svg(figure)).decode("ascii")
    return Chart(
        name=name,
        title=title,
        note=note,
        source=f"data:image/svg+xml;base64,{source}",
        alternative=alternative,
        figure=figure,
        legend=legend,
    )


def wrapped(label: str, most: int) -> str:
    """A label in lines of at most `most` characters; what three lines do not hold is cut."""
    return textwrap.fill(label, most, max_lines=3, placeholder="…")


def slug(title: str) -> str:
    """A title as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def as_svg(figure: Figure) -> bytes:
    """The figure as SVG, equal for equal data."""
    drawn = _saved(figure, format="svg", metadata={"Date": None})
    figure.set_layout_engine("none")  # what is laid out stays; another format of it need not be laid out again
    return drawn


def as_png(figure: Figure) -> bytes:
    """The figure as PNG on white, for documents that take no SVG."""
    return _saved(figure, format="png", dpi=PNG_DPI)


def line_style(stroke: Stroke) -> Any:
    """The stroke's dashes as matplotlib wants them."""
    return (0, stroke.dashes) if stroke.dashes else "solid"


def add_legend(drawn: Chart) -> None:
    """Put the chart's legend below it, into a figure that grows by its lines."""
    from matplotlib import rc_context
    from matplotlib.lines import Line2D

    if not drawn.legend:
        return
    columns = 2 if max(len(label) for label, _ in drawn.legend) < 34 else 1
    lines = -(-len(drawn.legend) // columns)
    with rc_context(STYLE):
        drawn.figure.set_layout_engine("constrained")
        drawn.figure.set_figheight(drawn.figure.get_figheight() + 0.19 * lines + 0.1)
        drawn.figure.legend(
            handles=[
                Line2D(
                    [],
                    [],
                    color=stroke.colour,
                    linestyle=line_style(stroke),
                    linewidth=2.2,
                    marker="" if stroke.marker == "o" else stroke.marker,
                    label=label,
                )
                for label, stroke in drawn.legend
            ],
            loc="outside lower left",
            ncols=columns,
            frameon=False,
            fontsize=8.5,
        )


def _saved(figure: Figure, **options: Any) -> bytes:
    from matplotlib import rc_context

    written = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(written, **options)
    return written.getvalue()


def _width(place: int, count: int) -> float:
    return 3.0 - 1.6 * place / max(1, count - 1)
