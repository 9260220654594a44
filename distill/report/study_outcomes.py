"""A study's arms against each other: figures over seeds, differences with intervals, retention, size, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.report.drawing import INK, MUTED, Chart, Stroke, canvas, chart, text_on, wrapped
from densedistill.distill.report.generations import generations_chart
from densedistill.distill.report.shared_teachers import teacher_labels
from densedistill.distill.report.study_costs import cost_chart
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_numbers import Judgement, Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLAIMED = {"better": "#007a58", "worse": "#b34700"}
_LONGEST = 34
_FROM_ZERO_BELOW = 0.5


def outcome_charts(study: StudyFacts, numbers: Numbers, looks: Mapping[str, Stroke]) -> list[Chart]:
    """The figures that the data is there for."""
    charts = [
        _arms(study, numbers, looks),
        _differences(study, numbers),
        _retention(study, numbers, looks),
        cost_chart(study, numbers, looks),
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
