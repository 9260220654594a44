"""Training curves of all arms: means over seeds with their range, the last epochs enlarged, the generalisation gap."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.report.drawing import (
    INK,
    Chart,
    Legend,
    Stroke,
    canvas,
    chart,
    line_style,
    role_strokes,
    slug,
)
from densedistill.distill.report.facts import EpochFacts, RunFacts
from densedistill.distill.report.study_facts import StudyArmFacts, StudyFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Read = Callable[[EpochFacts], float | None]
Course = Mapping[int, tuple[float, ...]]
"""A figure of every seed by epoch."""

_LOG_RATIO = 20.0
_MARKED_EPOCHS = 30
_LEAST_TO_ZOOM = 8
_ZOOMED_SHARE, _ZOOMED_MOST = 4, 50
_GAPS_SHOWN = 6
_CONDITIONS_SIDE_BY_SIDE = 3


def curve_charts(study: StudyFacts, looks: Mapping[str, Stroke]) -> list[Chart]:
    """Curves over epochs of every arm whose runs are at hand."""
    metric = study.selected_by
    axis = words.in_unit(metric.name, metric.unit)
    title = f"{words.title(metric.name)} on validation"
    charts = [
        _curves(study, looks, "curve-metric", title, axis, lambda line: line.val.get(metric.name)),
        zoom_chart(study, looks),
        _curves(study, looks, "curve-val-loss", "Validation loss", "loss", lambda line: line.val_loss, loss=True),
        _curves(
            study,
            looks,
            "curve-train-loss",
            "Training loss",
            "loss",
            lambda line: line.train_loss,
            loss=True,
            note="Arms with a teacher add its terms: compare shapes here, not heights.",
        ),
        gap_chart(study, looks),
        *(_term(study, looks, name) for name in _term_names(study)),
        _curves(study, looks, "curve-learning-rate", "Learning rate", "learning rate", lambda line: line.learning_rate),
    ]
    return [one for one in charts if one is not None]


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
    panels = []
    for condition in conditions:
        # Colours go by an arm's place among all arms of its condition, with results or without.
        among = role_strokes({one.arm: one.role for one in study.arms if one.condition == condition})
        own = {arm: among[arm] for arm in arms if study.named(arm).condition == condition}
        panels.append(Panel(title=condition, looks=own))
    return panels


def legend_over(study: StudyFacts, panels: Sequence[Panel]) -> Legend:
    """What the lines of all panels mean; an arm under several conditions is named once."""
    found: dict[str, Stroke] = {}
    for panel in panels:
        for arm, look in panel.looks.items():
            found.setdefault(study.named(arm).label.removesuffix(f" ({panel.title})"), look)
    return tuple(found.items())


def legend_of(study: StudyFacts, looks: Mapping[str, Stroke], arms: Sequence[str]) -> Legend:
    """Labels and strokes of the arms named."""
    return tuple((study.named(arm).label, looks[arm]) for arm in arms)


def courses(arm: StudyArmFacts, read: Read) -> Course:
    """A figure of every trial that was trained, by epoch."""
    found: dict[int, list[float]] = {}
    for trial in arm.trials:
        for line in () if trial.run is None else trial.run.lines_of(trial.figures.arm):
            value = read(line)
            if value is not None and math.isfinite(value):
                found.setdefault(line.epoch, []).append(value)
    return {epoch: tuple(found[epoch]) for epoch in sorted(found)}


def task_term(study: StudyFacts) -> tuple[str, float] | None:
    """The loss term that is all of the task's own loss, and its weight alone; None where several make it up.

    Arms without a teacher show it: their whole training loss is this term times its weight.
    """
    found = set()
    for run, arm in _trained(study.arms):
        facts = next((one for one in run.arms if one.arm == arm), None)
        if facts is None or facts.teacher is not None:
            continue
        for line in run.lines_of(arm):
            if line.train_loss and line.losses:
                terms = [(name, round(line.train_loss / value, 4)) for name, value in line.losses.items() if value]
                found.add(terms[0] if len(line.losses) == 1 and terms else ("", 0.0))
    return found.pop() if len(found) == 1 and ("", 0.0) not in found else None


def _term_names(study: StudyFacts) -> list[str]:
    runs = (run for run, _ in _trained(study.arms))
    return list(dict.fromkeys(name for run in runs for line in run.epochs for name in line.losses))


def _term(study: StudyFacts, looks: Mapping[str, Stroke], name: str) -> Chart | None:
    return _curves(
        study,
        looks,
        f"curve-term-{slug(name)}",
        f"Loss term: {words.label(name)}",
        "loss, unweighted",
        lambda line: line.losses.get(name),
        loss=True,
    )


def _curves(
    study: StudyFacts,
    looks: Mapping[str, Stroke],
    name: str,
    title: str,
    axis: str,
    read: Read,
    *,
    loss: bool = False,
    note: str = "",
) -> Chart | None:
    """One line for each arm that has the figure; None where no arm has it."""
    series = {arm.arm: found for arm in study.arms if (found := courses(arm, read))}
    if not series:
        return None
    values = [value for course in series.values() for each in course.values() for value in each]
    steep = loss and min(values) > 0 and max(values) / min(values) > _LOG_RATIO
    panels = panels_of(study, looks, list(series))
    figure, drawn = canvas(columns=len(panels), sharey=True)
    for axes, panel in zip(drawn, panels, strict=True):
        for arm, look in panel.looks.items():
            _draw(axes, series[arm], look)
            _mark_stop(axes, study.named(arm), series[arm], look)
        if steep:
            _log_scale(axes)
        _label(axes, "" if axes is not drawn[0] else f"{axis}, log scale" if steep else axis)
        axes.set_title(panel.title, fontsize=9)
    return chart(
        name,
        title,
        figure,
        f"{title} by epoch: {_ends(study, series)}.",
        note=" ".join(part for part in (note, _reading(study, series)) if part),
        legend=legend_over(study, panels),
    )


def zoom_chart(study: StudyFacts, looks: Mapping[str, Stroke]) -> Chart | None:
    """The last quarter of the epochs, at most 50, on an axis of its own; None of fewer than 8 epochs."""
    metric = study.selected_by.name
    series = {arm.arm: found for arm in study.arms if (found := courses(arm, lambda line: line.val.get(metric)))}
    last = max((epoch for course in series.values() for epoch in course), default=0)
    if last < _LEAST_TO_ZOOM:
        return None
    first = last - min(last // _ZOOMED_SHARE, _ZOOMED_MOST) + 1
    tails = {arm: {epoch: course[epoch] for epoch in course if epoch >= first} for arm, course in series.items()}
    tails = {arm: course for arm, course in tails.items() if course}
    panels = panels_of(study, looks, list(tails))
    figure, drawn = canvas(columns=len(panels), sharey=True)
    for axes, panel in zip(drawn, panels, strict=True):
        for arm, look in panel.looks.items():
            _draw(axes, tails[arm], look)
        _label(axes, words.in_unit(metric, study.selected_by.unit) if axes is drawn[0] else "")
        axes.set_title(panel.title, fontsize=9)
    return chart(
        "curve-last-epochs",
        f"The last {last - first + 1} epochs",
        figure,
        f"{words.title(metric)} of the last epochs: {_ends(study, tails)}.",
        note=_absent(study, set(series) - set(tails)),
        legend=legend_over(study, panels),
    )


def gap_chart(study: StudyFacts, looks: Mapping[str, Stroke]) -> Chart | None:
    """Training and validation loss of each arm, and their distance at its end."""
    found, task = [], task_term(study)
    for arm in study.arms:
        train, val = _own_course(arm, task), courses(arm, lambda line: line.val_loss)
        if train and val and train.keys() & val.keys():
            found.append((arm, train, val))
    if not found:
        return None
    shown = sorted(found, key=lambda one: one[0].role == "teacher")[:_GAPS_SHOWN]
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    figure, drawn = canvas(height=0.5 + 1.9 * rows, rows=rows, columns=columns, sharey=True, sharex=True)
    told = []
    for axes, (arm, train, val) in zip(drawn, shown, strict=False):
        solid = Stroke(colour=looks[arm.arm].colour, dashes=(), width=1.8)
        _draw(axes, val, solid)
        _draw(axes, train, Stroke(colour=solid.colour, dashes=(2.0, 1.4), width=1.4))
        end = max(train.keys() & val.keys())
        gap = statistics.fmean(val[end]) - statistics.fmean(train[end])
        axes.set_title(f"{_short(arm.label, 78 // columns)}\ngap {gap:+.3g}".replace("-", "\N{MINUS SIGN}"), fontsize=8)
        told.append(f"{arm.label} {gap:+.3g}")
    for unused in drawn[len(shown) :]:
        unused.set_visible(False)
    drawn[0].set_ylabel("loss")
    left = f" {len(found) - len(shown)} more arms are not drawn." if len(found) > len(shown) else ""
    return chart(
        "generalisation-gap",
        "Training and validation loss",
        figure,
        f"Validation loss minus training loss at the end: {'; '.join(told)}.",
        note=(
            "Solid: validation; dashed: training, by the task's own term and without a teacher's. The gap is their "
            f"distance in the last epoch. Augmentation makes training harder than validation.{left}"
        ),
    )


def _own_course(arm: StudyArmFacts, task: tuple[str, float] | None) -> Course:
    """The training loss by epoch that compares with the validation loss: without a teacher's terms.

    It is the whole loss of an arm without a teacher, and the task's term of one with a teacher.
    """

    def read(line: EpochFacts) -> float | None:
        if all(trial.figures.teacher is None for trial in arm.trials):
            return line.train_loss
        return None if task is None or task[0] not in line.losses else task[1] * line.losses[task[0]]

    return courses(arm, read)


def _trained(arms: Sequence[StudyArmFacts]) -> list[tuple[RunFacts, str]]:
    return [(trial.run, trial.figures.arm) for arm in arms for trial in arm.trials if trial.run is not None]


def _draw(axes: Axes, course: Course, stroke: Stroke) -> None:
    epochs = list(course)
    means = [statistics.fmean(values) for values in course.values()]
    if any(len(values) > 1 for values in course.values()):
        lows, highs = ([pick(values) for values in course.values()] for pick in (min, max))
        axes.fill_between(epochs, lows, highs, color=stroke.colour, alpha=0.13, linewidth=0)
    axes.plot(
        epochs,
        means,
        color=stroke.colour,
        linestyle=line_style(stroke),
        linewidth=min(stroke.width, 2.4),
        marker="o" if len(epochs) <= _MARKED_EPOCHS else "",
        markersize=min(stroke.width, 2.4) + 0.8,
    )


def _mark_stop(axes: Axes, arm: StudyArmFacts, course: Course, stroke: Stroke) -> None:
    """A cross where a trial was stopped early, since its curve then ends for another reason than the others'."""
    for trial in arm.trials:
        lines = () if trial.run is None else trial.run.lines_of(trial.figures.arm)
        if lines and any("early stopping" in note for note in trial.figures.notes):
            end = lines[-1].epoch
            if end in course:
                axes.plot([end], [statistics.fmean(course[end])], "X", color=stroke.colour, markersize=9)


def _log_scale(axes: Axes) -> None:
    """Decades alone may leave an axis with a single figure on it."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _label(axes: Axes, axis: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_ylabel(axis, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    low, high = axes.get_xlim()
    if high - low < 1:
        axes.set_xlim(round(low) - 0.6, round(high) + 0.6)


def _reading(study: StudyFacts, series: Mapping[str, Course]) -> str:
    seeded = any(len(values) > 1 for course in series.values() for values in course.values())
    stopped = any("early stopping" in note for arm in study.arms for t in arm.trials for note in t.figures.notes)
    told = ["Lines are means over seeds, bands reach from the lowest to the highest."] * seeded
    told += ["A cross marks an arm that was stopped early."] * stopped
    return " ".join(told)


def _absent(study: StudyFacts, arms: set[str]) -> str:
    names = [study.named(arm).label for arm in sorted(arms)]
    return f"{wording.joined(names)} ended before." if names else ""


def _ends(study: StudyFacts, series: Mapping[str, Course]) -> str:
    ends = (
        f"{study.named(arm).label} ends at {statistics.fmean(course[max(course)]):.4g}"
        for arm, course in series.items()
    )
    return "; ".join(ends)


def _short(label: str, most: int) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"
