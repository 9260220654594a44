"""What settings do: a heat map over two of them, curves over one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.report.drawing import INK, MUTED, PALETTE, Chart, canvas, chart, slug
from densedistill.distill.report.study_axes import Facet, called, facets, number_at, numeric_axes, place, values
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_numbers import ArmNumbers, Numbers
from densedistill.distill.statistics import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_MARKS = {"better": " ▲", "worse": " ▼"}
_MAPS_SHOWN = 6
_CONTROLS_SHOWN = 3


def grid_charts(study: StudyFacts, numbers: Numbers) -> list[Chart]:
    """A heat map for the first two numeric axes of a grid, and a curve over each numeric axis."""
    axes = numeric_axes(study)
    maps = _heat_map(study, numbers, axes[0], axes[1]) if len(axes) >= 2 else None
    sweeps = [_sweep(study, numbers, name) for name in axes]
    return [one for one in (maps, *sweeps) if one is not None]


def _heat_map(study: StudyFacts, numbers: Numbers, across: str, up: str) -> Chart | None:
    maps = [
        facet
        for facet in facets(numbers, (across, up))
        if len(values(facet.arms, across)) > 1 and len(values(facet.arms, up)) > 1
    ][:_MAPS_SHOWN]
    if not maps:
        return None
    columns = min(2, len(maps))
    rows = -(-len(maps) // columns)
    lines = max(len(values(facet.arms, up)) for facet in maps)
    figure, drawn = canvas(height=(1.1 + 0.42 * lines) * rows, rows=rows, columns=columns)
    means = [one.compared.mean for facet in maps for one in facet.arms if one.compared is not None]
    outcomes = {one.arm.arm: one.verdict.outcome for one in numbers.judged}
    for axes, facet in zip(drawn, maps, strict=False):
        image = _one_map(axes, study, facet, (across, up), (min(means), max(means)), outcomes)
    for unused in drawn[len(maps) :]:
        unused.set_visible(False)
    bar = figure.colorbar(image, ax=drawn, shrink=0.8)
    bar.set_label(words.in_unit(study.metric.name, study.metric.unit), color=INK, fontsize=8.5)
    bar.ax.tick_params(labelsize=8, labelcolor=INK, length=0)
    bar.outline.set_visible(False)
    title = f"{called(across)[:1].upper()}{called(across)[1:]} and {called(up)}"
    return chart(
        "heat-map",
        title,
        figure,
        f"{words.title(study.metric.name)}: {_figures(study, maps)}.",
        note=(
            f"Means over seeds on {numbers.where}. ▲ and ▼ mark differences to the control that may be claimed."
            f"{_comparison(numbers, study.metric.unit, (across, up))}"
        ),
    )


def _one_map(
    axes: Axes,
    study: StudyFacts,
    facet: Facet,
    named: tuple[str, str],
    limits: tuple[float, float],
    outcomes: Mapping[str, str],
) -> AxesImage:
    import numpy as np

    across, up = named
    xs, ys = values(facet.arms, across), values(facet.arms, up)
    grid = np.full((len(ys), len(xs)), np.nan)
    for one in facet.arms:
        if one.compared is None:
            continue
        x, y = xs.index(number_at(one.arm, across)), ys.index(number_at(one.arm, up))
        grid[y, x] = one.compared.mean
        shade = (one.compared.mean - limits[0]) / ((limits[1] - limits[0]) or 1)
        figure = wording.figure(one.compared.mean, study.metric.unit, bare=True)
        axes.text(
            x,
            y,
            f"{figure}{_MARKS.get(outcomes.get(one.arm.arm, ''), '')}",
            ha="center",
            va="center",
            fontsize=8 if len(xs) <= 4 else 7,
            color="white" if shade < 0.55 else "#1c2127",
        )
    image = axes.imshow(grid, cmap="viridis", vmin=limits[0], vmax=limits[1], aspect="auto", origin="lower")
    axes.set_xticks(range(len(xs)), [f"{value:g}" for value in xs])
    axes.set_yticks(range(len(ys)), [f"{value:g}" for value in ys])
    axes.set_xlabel(called(across))
    axes.set_ylabel(called(up))
    axes.set_title(facet.label, fontsize=8.5)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return image


def _sweep(study: StudyFacts, numbers: Numbers, axis: str) -> Chart | None:
    """The figure over one setting, a line for each combination of the others."""
    lines = [facet for facet in facets(numbers, (axis,)) if len(values(facet.arms, axis)) > 1]
    if not lines or len(lines) > len(PALETTE):
        return None
    figure, (axes,) = canvas()
    every = sorted({value for facet in lines for value in values(facet.arms, axis)})
    for colour, facet in zip(PALETTE, lines, strict=False):
        ordered = sorted(facet.arms, key=lambda one: number_at(one.arm, axis))
        points = [(every.index(number_at(one.arm, axis)), one.compared) for one in ordered]
        _line(axes, [(x, spread) for x, spread in points if spread is not None], colour, facet.label)
    for one in _controls(numbers, (axis,)):
        _level(axes, one)
    axes.set_xticks(range(len(every)), [f"{value:g}" for value in every])
    axes.set_xlabel(called(axis))
    axes.set_ylabel(words.in_unit(study.metric.name, study.metric.unit))
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=8)
    dashed = "; dashed lines are controls" if _controls(numbers, (axis,)) else ""
    return chart(
        f"sweep-{slug(axis)}",
        f"{words.title(study.metric.name)} by {called(axis)}",
        figure,
        f"{words.title(study.metric.name)} by {called(axis)}: {_figures(study, lines)}.",
        note=f"Means and standard deviations over seeds on {numbers.where}{dashed}.",
    )


def _level(axes: Axes, one: ArmNumbers) -> None:
    """A control that the axis does not touch, across the whole figure."""
    if one.compared is None:
        return
    axes.axhline(one.compared.mean, color=MUTED, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.annotate(
        one.arm.label,
        (1, one.compared.mean),
        xycoords=("axes fraction", "data"),
        va="bottom",
        ha="right",
        fontsize=8,
        bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
    )


def _line(axes: Axes, points: Sequence[tuple[int, Spread]], colour: str, label: str) -> None:
    axes.errorbar(
        [x for x, _ in points],
        [spread.mean for _, spread in points],
        yerr=[spread.std or 0.0 for _, spread in points],
        color=colour,
        marker="o",
        markersize=5.5,
        linewidth=1.8,
        capsize=2.5,
        label=label,
    )


def _controls(numbers: Numbers, axes: Sequence[str]) -> list[ArmNumbers]:
    """The controls that lie on none of `axes`; none where they are too many to be told apart."""
    found = [
        one
        for one in numbers.arms
        if one.arm.role == "control" and one.compared is not None and all(place(one.arm, axis) is None for axis in axes)
    ]
    return found if len(found) <= _CONTROLS_SHOWN else []


def _comparison(numbers: Numbers, unit: str, axes: Sequence[str]) -> str:
    told = [
        f"{one.arm.label} {wording.figure(one.compared.mean, unit)}"
        for one in _controls(numbers, axes)
        if one.compared is not None
    ]
    return f" For comparison: {', '.join(told)}." if told else ""


def _figures(study: StudyFacts, shown: Sequence[Facet]) -> str:
    return "; ".join(
        f"{one.arm.label} {wording.figure(one.compared.mean, study.metric.unit)}"
        for facet in shown
        for one in facet.arms
        if one.compared is not None
    )
