"""The figures of one run: curves of its training, and its arms against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.report.drawing import Chart, Stroke, canvas, chart, line_style, slug, strokes
from densedistill.distill.report.facts import ArmFacts, EpochFacts, RunFacts
from densedistill.distill.report.summary import Basis, basis, partner

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOG_RATIO = 20.0
_MARKED_EPOCHS = 30


def training_charts(run: RunFacts) -> list[Chart]:
    """Curves over epochs: the metric, validation and training loss, each loss term, the learning rate."""
    metric = run.metric
    axis = words.in_unit(metric.name, metric.unit)
    charts = [
        _curves(run, f"{words.title(metric.name)} on validation", axis, lambda line: line.val.get(metric.name)),
        _curves(run, "Validation loss", "loss", lambda line: line.val_loss, loss=True),
        _curves(
            run,
            "Training loss",
            "loss",
            lambda line: line.train_loss,
            loss=True,
            note="Arms with a teacher add its terms: compare shapes here, not heights.",
        ),
    ]
    for name in dict.fromkeys(name for line in run.epochs for name in line.losses):
        charts.append(_term(run, name))
    charts.append(_curves(run, "Learning rate", "learning rate", lambda line: line.learning_rate))
    return [chart for chart in charts if chart is not None]


def outcome_charts(run: RunFacts) -> list[Chart]:
    """The arms against each other: figure by size, and how much of its teacher's figure each arm keeps."""
    return [chart for chart in (_by_size(run, basis(run)), _retention(run)) if chart is not None]


def _term(run: RunFacts, name: str) -> Chart | None:
    return _curves(
        run,
        f"Loss term: {words.label(name)}",
        "loss, unweighted",
        lambda line: line.losses.get(name),
        loss=True,
    )


def _curves(
    run: RunFacts,
    title: str,
    axis: str,
    read: Callable[[EpochFacts], float | None],
    *,
    loss: bool = False,
    note: str = "",
) -> Chart | None:
    """One line for each arm that has the figure; None where no arm has it."""
    found = {arm.arm: _points(run.lines_of(arm.arm), read) for arm in run.arms}
    series = {arm: points for arm, points in found.items() if points}
    if not series:
        return None
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    figure, (axes,) = canvas()
    looks = strokes([arm.arm for arm in run.arms])
    for arm, points in series.items():
        _line(axes, points, looks[arm])
    values = [value for points in series.values() for _, value in points]
    if loss and min(values) > 0 and max(values) / min(values) > _LOG_RATIO:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axis += ", log scale"
    axes.set_xlabel("epoch")
    axes.set_ylabel(axis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    named = words.roles([arm.arm for arm in run.arms])
    ends = "; ".join(f"{named[arm]} ends at {points[-1][1]:.4g}" for arm, points in series.items())
    return chart(slug(title), title, figure, f"{title} by epoch: {ends}.", note=note)


def _points(lines: Iterable[EpochFacts], read: Callable[[EpochFacts], float | None]) -> list[tuple[int, float]]:
    return [(line.epoch, value) for line in lines if (value := read(line)) is not None and math.isfinite(value)]


def _line(axes: Axes, points: Sequence[tuple[int, float]], stroke: Stroke) -> None:
    axes.plot(
        [epoch for epoch, _ in points],
        [value for _, value in points],
        color=stroke.colour,
        linestyle=line_style(stroke),
        linewidth=stroke.width,
        marker="o" if len(points) <= _MARKED_EPOCHS else "",
        markersize=stroke.width + 1.2,
    )


def _by_size(run: RunFacts, on: Basis) -> Chart | None:
    """A point for each arm; an arrow from scratch to distilled shows what the teacher brought."""
    sized = [arm for arm in run.arms if arm.params and math.isfinite(_place(arm, on)[1])]
    if len(sized) < 2:
        return None
    from matplotlib.ticker import NullLocator

    figure, (axes,) = canvas()
    looks = strokes([arm.arm for arm in run.arms])
    for arm in sized:
        stroke = looks[arm.arm]
        x, y = _place(arm, on)
        scratch = partner(arm, sized, "scratch")
        if words.parse_arm(arm.arm).kind == "distilled" and scratch is not None:
            axes.annotate(
                "",
                xy=(x, y),
                xytext=_place(scratch, on),
                arrowprops={"arrowstyle": "->", "color": "#9aa1ab", "shrinkA": 5, "shrinkB": 5},
            )
        face = "white" if stroke.dashes else stroke.colour
        axes.plot([x], [y], "o", markersize=8, color=stroke.colour, markerfacecolor=face, markeredgewidth=1.8)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    ticks = _sizes(sized)
    axes.set_xticks(ticks, [wording.parameters(size) for size in ticks])
    axes.margins(x=0.12, y=0.18)
    axes.set_xlabel("parameters, log scale")
    axes.set_ylabel(words.in_unit(run.metric.name, run.metric.unit))
    return chart(
        "size",
        f"{words.title(run.metric.name)} by size",
        figure,
        f"{words.label(run.metric.name)} against the number of parameters of {len(sized)} arms.",
        note=f"Measured on {on.where}; open circles are controls, an arrow leads from scratch to distilled.",
    )


def _place(arm: ArmFacts, on: Basis) -> tuple[float, float]:
    value = on.value(arm)
    return float(arm.params or 0), math.nan if value is None else value


def _sizes(arms: Sequence[ArmFacts]) -> list[int]:
    """The arms' parameter counts, without those too close on a log axis to be told apart."""
    sizes = sorted({arm.params for arm in arms if arm.params})
    apart = 0.12 * math.log(sizes[-1] / sizes[0])
    kept = sizes[:1]
    for size in sizes[1:]:
        if math.log(size / kept[-1]) > apart:
            kept.append(size)
    return kept


def _retention(run: RunFacts) -> Chart | None:
    shares = [(arm, arm.retention) for arm in reversed(run.arms) if arm.retention is not None]
    kept = [(arm, retention) for arm, retention in shares if math.isfinite(retention)]
    if not kept:
        return None
    figure, (axes,) = canvas()
    looks = strokes([arm.arm for arm in run.arms])
    named = words.roles([arm.arm for arm in run.arms])
    for place, (arm, retention) in enumerate(kept):
        _bar(axes, place, retention, looks[arm.arm])
    axes.axvline(100, color="#9aa1ab", linewidth=1, linestyle=(0, (3, 3)))
    axes.set_xlim(0, 105 * max(1.0, *(retention for _, retention in kept)))
    room = max(0.8, (4 - len(kept)) / 2)
    axes.set_ylim(-room, len(kept) - 1 + room)
    axes.set_yticks(range(len(kept)), [named[arm.arm] for arm, _ in kept])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.set_xlabel(f"{words.label(run.metric.name)} of the teacher kept (%)")
    told = "; ".join(f"{named[arm.arm]} {wording.share(retention)}" for arm, retention in reversed(kept))
    return chart(
        "retention",
        "Retention",
        figure,
        f"Retention: {told}.",
        note="The student's figure divided by its teacher's; the dashed line is the teacher.",
    )


def _bar(axes: Axes, place: int, retention: float, stroke: Stroke) -> None:
    """A bar with its figure inside, or behind it where it is too short; controls are hollow."""
    solid, roomy = not stroke.dashes, retention > 0.25
    axes.barh(
        place,
        100 * retention,
        0.55,
        color=stroke.colour if solid else "white",
        edgecolor=stroke.colour,
        linewidth=1.6,
    )
    axes.text(
        100 * retention,
        place,
        f"  {wording.share(retention)}  ",
        va="center",
        ha="right" if roomy else "left",
        color="white" if solid and roomy else stroke.colour,
    )
