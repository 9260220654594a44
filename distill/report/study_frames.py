"""The frames that curves of a study are drawn into: one for all arms, or one for each condition."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from densedistill.distill.report.drawing import INK, Legend, Stroke, line_style
from densedistill.distill.report.study_courses import Course, by_epoch, ended_together
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_looks import bare_label, condition_strokes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOG_RATIO = 20.0
_MARKED_EPOCHS = 30
_CONDITIONS_SIDE_BY_SIDE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Arms that are drawn into one frame."""

    title: str
    """Their condition; empty where a study has none."""
    looks: Mapping[str, Stroke]
    """By arm, in order."""


def panels_of(study: StudyFacts, looks: Mapping[str, Stroke], arms: Sequence[str]) -> list[Panel]:
    """A frame for each condition, in which an arm looks as it does under the others; one for all without conditions."""
    taught = [study.named(arm) for arm in arms if study.named(arm).role != "teacher"]
    conditions = list(dict.fromkeys(arm.condition for arm in taught))
    if not 2 <= len(conditions) <= _CONDITIONS_SIDE_BY_SIDE or "" in conditions:
        return [Panel(title="", looks={arm: looks[arm] for arm in arms})]
    alike = condition_strokes(study)
    return [
        Panel(title=condition, looks={arm: alike[arm] for arm in arms if study.named(arm).condition == condition})
        for condition in conditions
    ]


def legend_over(study: StudyFacts, panels: Sequence[Panel]) -> Legend:
    """What the lines of all panels mean; an arm under several conditions is named once."""
    found: dict[str, Stroke] = {}
    for panel in panels:
        for arm, look in panel.looks.items():
            found.setdefault(bare_label(study.named(arm)) if panel.title else study.named(arm).label, look)
    return tuple(found.items())


def legend_of(study: StudyFacts, looks: Mapping[str, Stroke], arms: Sequence[str]) -> Legend:
    """Labels and strokes of the arms named."""
    return tuple((study.named(arm).label, looks[arm]) for arm in arms)


def draw(axes: Axes, course: Course, stroke: Stroke, *, apart: bool = False) -> None:
    """The mean over seeds within the range of them; a line for each seed where they end in different epochs, or
    `apart`.

    A mean over the seeds that are left would jump wherever one of them ends.
    """
    width, line = min(stroke.width, 2.4), line_style(stroke)
    if apart or not ended_together(course):
        for own in course.values():
            axes.plot(list(own), list(own.values()), color=stroke.colour, linestyle=line, linewidth=0.5 * width)
        return
    epochs = by_epoch(course)
    if len(course) > 1:
        lows, highs = ([pick(values) for values in epochs.values()] for pick in (min, max))
        axes.fill_between(list(epochs), lows, highs, color=stroke.colour, alpha=0.13, linewidth=0)
    axes.plot(
        list(epochs),
        [statistics.fmean(values) for values in epochs.values()],
        color=stroke.colour,
        linestyle=line,
        linewidth=width,
        marker=stroke.marker if len(epochs) <= _MARKED_EPOCHS else "",
        markersize=width + 0.8,
    )


def is_steep(values: Sequence[float]) -> bool:
    """Whether losses reach so far that a linear axis would flatten them."""
    return min(values) > 0 and max(values) / min(values) > _LOG_RATIO


def log_scale(axes: Axes) -> None:
    """Decades alone may leave an axis with a single figure on it."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def label_axes(axes: Axes, axis: str) -> None:
    """Epochs below, and the figure's name on the left."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_ylabel(axis, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    low, high = axes.get_xlim()
    if high - low < 1:
        axes.set_xlim(round(low) - 0.6, round(high) + 0.6)
