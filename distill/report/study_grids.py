"""What settings do: a heat map over two of them, curves over one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from densedistill.distill.report import words
from densedistill.distill.report.configurations import SHORT, written
from densedistill.distill.report.drawing import INK, MUTED, PALETTE, Chart, canvas, chart, slug
from densedistill.distill.report.study_facts import StudyArm, StudyFacts
from densedistill.distill.report.study_numbers import ArmNumbers, Numbers
from densedistill.distill.statistics import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_MARKS = {"better": " ▲", "worse": " ▼"}
_MAPS_SHOWN = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facet:
    """Arms that agree in everything but the axes of a chart."""

    label: str
    arms: tuple[ArmNumbers, ...]


def grid_charts(study: StudyFacts, numbers: Numbers) -> list[Chart]:
    """A heat map for the first two numeric axes of a grid, and a curve over each numeric axis."""
    axes = [name for name in study.axes if _numeric(study, name)]
    maps = _heat_map(study, numbers, axes[0], axes[1]) if len(axes) >= 2 else None
    sweeps = [_sweep(study, numbers, name, axes) for name in axes]
    return [one for one in (maps, *sweeps) if one is not None]


def place(arm: StudyArm, axis: str) -> object:
    """An arm's value on an axis; None where it has none, as a control that the axis does not touch."""
    value = arm.axes.get(axis)
    return arm.settings.get(axis) if value is None and arm.role == "method" else value


def called(axis: str) -> str:
    """`method.temperature` for people."""
    last = axis.rpartition(".")[2]
    names = {"temperature": "temperature T", "alpha": "share of the teacher α"}
    return names.get(last) or SHORT.get(last) or last.replace("_", " ")


def _numeric(study: StudyFacts, axis: str) -> bool:
    values = {place(arm, axis) for arm in study.arms} - {None}
    return len(values) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _values(arms: Sequence[ArmNumbers], axis: str) -> list[float]:
    found = {place(one.arm, axis) for one in arms}
    return sorted(float(value) for value in found if isinstance(value, int | float))


def _facets(study: StudyFacts, numbers: Numbers, axes: Sequence[str]) -> list[_Facet]:
    """The measured arms on the axes, apart by condition and by every other axis of the study."""
    others = [name for name in study.axes if name not in axes]
    found: dict[str, list[ArmNumbers]] = {}
    for one in numbers.arms:
        if one.compared is None or any(place(one.arm, axis) is None for axis in axes):
            continue
        told = [
            f"{called(name)} {written(place(one.arm, name))}" for name in others if place(one.arm, name) is not None
        ]
        found.setdefault(", ".join([*([one.arm.condition] if one.arm.condition else []), *told]), []).append(one)
    return [_Facet(label=label, arms=tuple(arms)) for label, arms in found.items()]


def _heat_map(study: StudyFacts, numbers: Numbers, across: str, up: str) -> Chart | None:
    facets = [
        facet
        for facet in _facets(study, numbers, (across, up))
        if len(_values(facet.arms, across)) > 1 and len(_values(facet.arms, up)) > 1
    ][:_MAPS_SHOWN]
    if not facets:
        return None
    columns = min(2, len(facets))
    rows = -(-len(facets) // columns)
    lines = max(len(_values(facet.arms, up)) for facet in facets)
    figure, drawn = canvas(height=(1.1 + 0.42 * lines) * rows, rows=rows, columns=columns)
    means = [one.compared.mean for facet in facets for one in facet.arms if one.compared is not None]
    outcomes = {one.arm.arm: one.verdict.outcome for one in numbers.judged}
    for axes, facet in zip(drawn, facets, strict=False):
        image = _one_map(axes, study, facet, across, up, (min(means), max(means)), outcomes)
    for unused in drawn[len(facets) :]:
        unused.set_visible(False)
    bar = figure.colorbar(image, ax=drawn, shrink=0.8)
    bar.set_label(words.in_unit(study.metric.name, study.metric.unit), color=INK, fontsize=8.5)
    bar.ax.tick_params(labelsize=8, labelcolor=INK, length=0)
    bar.outline.set_visible(False)
    told = "; ".join(
        f"{one.arm.label} {words.figure(one.compared.mean, study.metric.unit)}"
        for facet in facets
        for one in facet.arms
        if one.compared is not None
    )
    return chart(
        "heat-map",
        f"{_capital(called(across))} and {called(up)}",
        figure,
        f"{words.title(study.metric.name)} by {called(across)} and {called(up)}: {told}.",
        note=(
            f"Means over seeds on {numbers.where}. ▲ and ▼ mark differences to the control that may be claimed."
            f"{_controls(numbers, study.metric.unit)}"
        ),
    )


def _one_map(
    axes: Axes,
    study: StudyFacts,
    facet: _Facet,
    across: str,
    up: str,
    limits: tuple[float, float],
    outcomes: Mapping[str, str],
) -> AxesImage:
    import numpy as np

    xs, ys = _values(facet.arms, across), _values(facet.arms, up)
    grid = np.full((len(ys), len(xs)), np.nan)
    for one in facet.arms:
        if one.compared is None:
            continue
        x, y = (values.index(float(str(place(one.arm, axis)))) for values, axis in ((xs, across), (ys, up)))
        grid[y, x] = one.compared.mean
        shade = (one.compared.mean - limits[0]) / ((limits[1] - limits[0]) or 1)
        figure = words.figure(one.compared.mean, study.metric.unit, bare=True)
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


def _sweep(study: StudyFacts, numbers: Numbers, axis: str, numeric: Sequence[str]) -> Chart | None:
    """The figure over one setting, a line for each combination of the others."""
    facets = [facet for facet in _facets(study, numbers, (axis,)) if len(_values(facet.arms, axis)) > 1]
    if not facets or len(facets) > len(PALETTE):
        return None
    figure, (axes,) = canvas()
    every = sorted({value for facet in facets for value in _values(facet.arms, axis)})
    for colour, facet in zip(PALETTE, facets, strict=False):
        ordered = sorted(facet.arms, key=lambda one: float(str(place(one.arm, axis))))
        points = [(every.index(float(str(place(one.arm, axis)))), one.compared) for one in ordered]
        _line(axes, [(x, spread) for x, spread in points if spread is not None], colour, facet.label)
    for one in numbers.arms:
        if one.arm.role == "control" and one.compared is not None:
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
    axes.set_xticks(range(len(every)), [f"{value:g}" for value in every])
    axes.set_xlabel(called(axis))
    axes.set_ylabel(words.in_unit(study.metric.name, study.metric.unit))
    if len(facets) > 1:
        axes.legend(frameon=False, fontsize=8)
    told = "; ".join(
        f"{one.arm.label} {words.figure(one.compared.mean, study.metric.unit)}"
        for facet in facets
        for one in facet.arms
        if one.compared is not None
    )
    return chart(
        f"sweep-{slug(axis)}",
        f"{words.title(study.metric.name)} by {called(axis)}",
        figure,
        f"{words.title(study.metric.name)} by {called(axis)}: {told}.",
        note=f"Means and standard deviations over seeds on {numbers.where}; dashed lines are controls.",
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


def _controls(numbers: Numbers, unit: str) -> str:
    told = [
        f"{one.arm.label} {words.figure(one.compared.mean, unit)}"
        for one in numbers.arms
        if one.arm.role == "control" and one.compared is not None
    ]
    return f" For comparison: {', '.join(told)}." if told else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
