"""A study's arms against each other: figures over seeds, differences with intervals, retention, size, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.report.drawing import INK, MUTED, Chart, Stroke, canvas, chart, text_on, wrapped
from densedistill.distill.report.generations import generations_chart, parameters
from densedistill.distill.report.latencies import latencies
from densedistill.distill.report.shared_teachers import teacher_labels
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_frames import legend_of
from densedistill.distill.report.study_numbers import ArmNumbers, Judged, Judgement, Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLAIMED = {"better": "#007a58", "worse": "#b34700"}
_COSTS = {"parameters": "size", "milliseconds for one image": "latency"}
_LONGEST = 34
_FROM_ZERO_BELOW = 0.5
_NAME_APART, _NAME_ASIDE, _MIDDLE = 0.05, 0.07, 0.5
"""Between two names of points, and between a point and its name, as shares of a frame."""
_MOST_ARROWS = 4


def outcome_charts(study: StudyFacts, numbers: Numbers, looks: Mapping[str, Stroke]) -> list[Chart]:
    """The figures that the data is there for."""
    charts = [
        _arms(study, numbers, looks),
        _differences(study, numbers),
        _retention(study, numbers, looks),
        _by_cost(study, numbers, looks),
        generations_chart(study, numbers, looks),
    ]
    return [one for one in charts if one is not None]


def _arms(study: StudyFacts, numbers: Numbers, looks: Mapping[str, Stroke]) -> Chart | None:
    """A dot for each seed and a bar for their mean, teachers that arms share first."""
    rows = [(one.arm.label, list(one.figures.values()), looks[one.arm.arm]) for one in numbers.arms if one.figures]
    grey = Stroke(colour="#6B6B6B", dashes=(), width=2.0)
    named = teacher_labels(study)
    for teacher in study.teachers:
        reached = teacher.figures.test if numbers.tested else teacher.figures.val
        if reached is not None:
            rows.insert(0, (named[teacher.key], [reached], grey))
    if len(rows) < 2:
        return None
    figure, (axes,) = canvas(height=_height([label for label, _, _ in rows]))
    places = list(reversed(range(len(rows))))
    means = [sum(values) / len(values) for _, values, _ in rows]
    start = _start([value for _, values, _ in rows for value in values])
    for place, mean, (_, values, stroke) in zip(places, means, rows, strict=True):
        hollow = stroke.hollow
        axes.barh(
            place,
            mean - start,
            0.62,
            left=start,
            color="white" if hollow else stroke.colour,
            edgecolor=stroke.colour,
            alpha=1 if hollow else 0.55,
            linewidth=1.4,
        )
        if len(values) > 1:
            axes.plot(values, [place] * len(values), "o", color=stroke.colour, markersize=4.5, markeredgecolor="white")
        axes.text(max(values), place, f"  {wording.figure(mean, study.metric.unit, bare=True)}", va="center", color=INK)
    _named_rows(axes, places, [label for label, _, _ in rows])
    axes.margins(x=0.14)
    axes.set_xlim(left=start)
    axes.set_xlabel(words.in_unit(study.metric.name, study.metric.unit))
    told = "; ".join(
        f"{row[0]} {wording.figure(mean, study.metric.unit)}" for row, mean in zip(rows, means, strict=True)
    )
    cut = " The axis does not begin at 0." if start else ""
    seeds = "Bars are means, dots are seeds." if any(len(values) > 1 for _, values, _ in rows) else "One seed each."
    return chart(
        "arms",
        f"{words.title(study.metric.name)} of all arms",
        figure,
        f"{words.title(study.metric.name)}: {told}.",
        note=f"Measured on {numbers.where}. {seeds} Hollow bars are controls.{cut}",
    )


def _differences(study: StudyFacts, numbers: Numbers) -> Chart | None:
    """Each comparison's and contrast's mean difference, its seeds, and the interval that it may be claimed by."""
    shown = [one for one in numbers.judgements if one.comparison.mean is not None]
    if not shown:
        return None
    from matplotlib.ticker import MaxNLocator

    several = len({one.against for one in shown}) > 1
    named = [one.label for one in shown]
    labels = [f"{one.label} − {one.against}" if named.count(one.label) > 1 else one.label for one in shown]
    figure, (axes,) = canvas(height=_height(labels))
    places = list(reversed(range(len(shown))))
    for place, one in zip(places, shown, strict=True):
        _difference(axes, place, one)
    axes.axvline(0, color=INK, linewidth=1)
    _named_rows(axes, places, labels)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    unit = "points" if study.metric.unit == "%" else study.metric.unit
    against = "each control" if several else shown[0].against
    axes.set_xlabel(f"difference to {against}{f', {unit}' if unit else ''}")
    told = "; ".join(f"{one.label}: {one.verdict.text}" for one in shown)
    return chart(
        "differences",
        f"Differences to {against}",
        figure,
        f"{told}.",
        note=(
            "Diamonds are mean differences, dots are seeds, lines are 95 % t intervals without correction. Coloured "
            "are the differences that may be claimed after correcting for all of them."
            if any(len(one.comparison.differences) > 1 for one in shown)
            else "Of one seed each: nothing tells these differences from chance."
        ),
    )


def _difference(axes: Axes, place: int, one: Judgement) -> None:
    found = one.comparison
    colour = _CLAIMED.get(one.verdict.outcome, "#6B6B6B")
    if found.deciding is not None:
        axes.plot(
            [found.deciding.interval.low, found.deciding.interval.high], [place, place], color=colour, linewidth=2
        )
    values = list(found.differences.values())
    if len(values) > 1:
        axes.plot(values, [place + 0.18] * len(values), "o", color=colour, markersize=3.5, alpha=0.6)
    axes.plot([found.mean or 0.0], [place], "D", color=colour, markersize=6.5, markeredgecolor="white")


def _retention(study: StudyFacts, numbers: Numbers, looks: Mapping[str, Stroke]) -> Chart | None:
    kept = [(one, one.retention) for one in numbers.arms if one.retention is not None]
    if not kept:
        return None
    figure, (axes,) = canvas(height=_height([one.arm.label for one, _ in kept]))
    places = list(reversed(range(len(kept))))
    for place, (one, retention) in zip(places, kept, strict=True):
        stroke = looks[one.arm.arm]
        hollow, roomy = stroke.hollow, retention.mean > 0.25
        axes.barh(
            place,
            100 * retention.mean,
            0.58,
            xerr=None if retention.std is None else 100 * retention.std,
            ecolor=INK,
            color="white" if hollow else stroke.colour,
            edgecolor=stroke.colour,
            linewidth=1.4,
        )
        axes.text(
            1.5 if roomy else 100 * retention.mean + 1.5,
            place,
            wording.share(retention.mean),
            va="center",
            color=INK if hollow or not roomy else text_on(stroke.colour),
        )
    axes.axvline(100, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    seeds = ", mean and standard deviation over seeds" if any(each.std is not None for _, each in kept) else ""
    axes.set_xlim(0, 105 * max(1.0, *(retention.mean for _, retention in kept)))
    _named_rows(axes, places, [one.arm.label for one, _ in kept])
    axes.set_xlabel(f"{words.label(study.metric.name)} of the teacher kept (%)")
    told = "; ".join(f"{one.arm.label} {wording.share(retention.mean)}" for one, retention in kept)
    return chart(
        "retention",
        "Retention",
        figure,
        f"Retention: {told}.",
        note=(f"An arm's figure divided by its teacher's{seeds}; the dashed line is the teacher."),
    )


def _by_cost(study: StudyFacts, numbers: Numbers, looks: Mapping[str, Stroke]) -> Chart | None:
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


def _start(values: Sequence[float]) -> float:
    """Where the axis of bars begins: 0, unless the figures lie so close together that bars from 0 would look equal."""
    low, high = min(values), max(values)
    if low <= 0 or (high - low) / high > _FROM_ZERO_BELOW:
        return min(0.0, low)
    return max(0.0, low - 0.8 * (high - low)) if high > low else 0.0


def _height(labels: Sequence[str]) -> float:
    """Inches of a figure with a row for each label."""
    lines = sum(_row_label(label).count("\n") for label in labels)
    return max(2.0, 0.7 + 0.31 * len(labels) + 0.1 * lines)


def _row_label(label: str) -> str:
    return wrapped(label, _LONGEST)


def _named_rows(axes: Axes, places: Sequence[int], labels: Sequence[str]) -> None:
    axes.set_yticks(places, [_row_label(label) for label in labels], linespacing=0.95)
    axes.set_ylim(-0.7, len(places) - 0.3)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")


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
