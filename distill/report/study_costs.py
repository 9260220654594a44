"""What an arm reaches against what it costs: by parameters, and by the time for one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.report.drawing import INK, MUTED, Chart, Stroke, canvas, chart
from densedistill.distill.report.generations import parameters
from densedistill.distill.report.latencies import latencies
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_frames import legend_of
from densedistill.distill.report.study_numbers import ArmNumbers, Judged, Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COSTS = {"parameters": "size", "milliseconds for one image": "latency"}
_MOST_ARROWS = 4
_MOST_NAMES = 10
"""Of points in a frame. With more, the names would leave no frame to draw in: the legend has them."""
_NAME_APART, _NAME_ASIDE, _MIDDLE = 0.05, 0.07, 0.5
"""Between two names of points, and between a point and its name, as shares of a frame."""


def cost_chart(study: StudyFacts, numbers: Numbers, looks: Mapping[str, Stroke]) -> Chart | None:
    """The figure by parameters and, where it was measured, by the time for one image."""
    points = [(one, float(size)) for one in numbers.arms if one.compared and (size := parameters(one))]
    fastest = latencies(study)
    timed = [
        (one, fastest[one.arm.arm].milliseconds) for one in numbers.arms if one.compared and one.arm.arm in fastest
    ]
    panels: list[tuple[str, Sequence[tuple[ArmNumbers, float]]]] = []
    panels += [("parameters", points)] * _apart([size for _, size in points])
    panels += [("milliseconds for one image", timed)] * _apart([time for _, time in timed])
    if not panels:
        return None
    figure, drawn = canvas(columns=len(panels), sharey=True)
    for axes, (axis, placed) in zip(drawn, panels, strict=True):
        _gains(axes, numbers, placed)
        for one, x in placed:
            _point(axes, x, one, looks[one.arm.arm])
        _spread_axis(axes, [x for _, x in placed], axis)
        axes.margins(x=0.12, y=0.14)
    for axes, (_, placed) in zip(drawn, panels, strict=True):
        if len(placed) <= _MOST_NAMES:
            _name_points(axes, [(x, one.compared.mean, one.arm.label) for one, x in placed if one.compared is not None])
    drawn[0].set_ylabel(words.in_unit(study.metric.name, study.metric.unit))
    arrows = ", an arrow leads from each to what it is compared with" if _gains_of(numbers) else ""
    latency = _measured([fastest[one.arm.arm].measurements for one, _ in timed]) if panels[-1][1] is timed else ""
    shown = [one.arm.arm for one in numbers.arms if any(one is other for _, placed in panels for other, _ in placed)]
    return chart(
        "size-latency",
        f"{words.title(study.metric.name)} by {' and '.join(_COSTS[axis] for axis, _ in panels)}",
        figure,
        f"{words.label(study.metric.name)} of {len(shown)} arms against their parameters and the time for one image.",
        note=f"Measured on {numbers.where}; open circles are controls{arrows}.{latency}",
        legend=legend_of(study, looks, shown),
    )


def _gains_of(numbers: Numbers) -> Sequence[Judged]:
    """The comparisons that are drawn as arrows; none where they would be a thicket."""
    return numbers.judged if len(numbers.judged) <= _MOST_ARROWS else ()


def _gains(axes: Axes, numbers: Numbers, placed: Sequence[tuple[ArmNumbers, float]]) -> None:
    """An arrow from each control to the arm that is compared with it."""
    at = {one.arm.arm: (x, one.compared.mean) for one, x in placed if one.compared is not None}
    for judged in _gains_of(numbers):
        if judged.arm.arm in at and judged.control.arm in at:
            axes.annotate(
                "",
                xy=at[judged.arm.arm],
                xytext=at[judged.control.arm],
                arrowprops={"arrowstyle": "->", "color": MUTED, "shrinkA": 5, "shrinkB": 5},
            )


def _point(axes: Axes, x: float, one: ArmNumbers, stroke: Stroke) -> None:
    if one.compared is None:
        return
    axes.errorbar(
        [x],
        [one.compared.mean],
        yerr=None if one.compared.std is None else [one.compared.std],
        fmt=stroke.marker,
        markersize=7.5,
        color=stroke.colour,
        markerfacecolor="white" if stroke.hollow else stroke.colour,
        markeredgewidth=1.6,
        elinewidth=1.2,
    )


def _measured(counts: Sequence[int]) -> str:
    """How latencies were taken, for a note."""
    most, least = max(counts), min(counts)
    many = f"{most}" if most == least else f"{least} to {most}"
    fastest = f", each network's the fastest of {many} measurements" if most > 1 else ""
    return f" Latency: plain PyTorch on the run's device{fastest}."


def _name_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """A name beside each (x, y, name), on the side with more room; names that would lie on each other move apart."""
    axes.get_xlim(), axes.get_ylim()  # matplotlib settles limits when they are asked for
    to_frame = axes.transData + axes.transAxes.inverted()
    sides: dict[bool, list[tuple[float, float, float, float, str]]] = {False: [], True: []}
    for x, y, name in points:
        across, up = (float(part) for part in to_frame.transform((x, y)))
        sides[across > _MIDDLE].append((up, across, x, y, name))
    for left, named in sides.items():
        named.sort(reverse=True)
        heights = _moved_apart([up for up, *_ in named])
        for (_, across, x, y, name), height in zip(named, heights, strict=True):
            axes.annotate(
                name,
                (x, y),
                xytext=(across + (-_NAME_ASIDE if left else _NAME_ASIDE), height),
                textcoords="axes fraction",
                fontsize=7,
                color=INK,
                va="center",
                ha="right" if left else "left",
                arrowprops={
                    "arrowstyle": "-",
                    "color": MUTED,
                    "linewidth": 0.6,
                    "shrinkA": 0,
                    "shrinkB": 4,
                    "relpos": (1, 0.5) if left else (0, 0.5),
                },
            )


def _moved_apart(heights: Sequence[float]) -> list[float]:
    """Falling heights in a frame (0 below, 1 above) with room for a name between any two, as far as there is room."""
    found: list[float] = []
    for height in heights:
        found.append(min(height, found[-1] - _NAME_APART) if found else height)
    low = 0.03
    for place in reversed(range(len(found))):
        found[place] = max(found[place], low)
        low = found[place] + _NAME_APART
    return found


def _apart(values: Sequence[float]) -> bool:
    """Whether there is something to see on an axis of these figures."""
    return len(values) > 1 and max(values) > 1.02 * min(values)


def _spread_axis(axes: Axes, values: Sequence[float], name: str) -> None:
    """Logarithmic where the figures reach far."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    low, high = min(values), max(values)
    if high / low < 3:
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.set_xlabel(name)
    else:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks([low, (low * high) ** 0.5, high])
        axes.set_xlabel(f"{name}, log scale")
    counts = name == "parameters"
    axes.xaxis.set_major_formatter(lambda value, _: wording.parameters(round(value)) if counts else f"{value:.3g}")
