"""Training curves of all arms: means over seeds with their range, the last epochs enlarged, the generalisation gap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.report.drawing import Chart, Stroke, canvas, chart, slug
from densedistill.distill.report.study_courses import (
    Course,
    Read,
    at_the_end,
    courses,
    ended_together,
    longest,
    values_of,
)
from densedistill.distill.report.study_facts import StudyArmFacts, StudyFacts
from densedistill.distill.report.study_frames import draw, is_steep, label_axes, legend_over, log_scale, panels_of
from densedistill.distill.report.study_gap import gap_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_TO_DRAW = 2
"""Epochs; fewer are no curve."""
_LEAST_TO_ZOOM = 8
_TERMS_OF_ONE_ARM = 4
"""Loss terms of a study in which each has its chart, if only one arm has it."""
_ZOOMED_SHARE, _ZOOMED_MOST = 4, 50


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


def _term_names(study: StudyFacts) -> list[str]:
    """The terms to draw; of many, those that several arms have: what one arm has alone compares with nothing."""
    arms: dict[str, set[str]] = {}
    for arm in study.arms:
        for run in (trial.run for trial in arm.trials if trial.run is not None):
            for line in run.lines_of(arm.trials[0].figures.arm):
                for name in line.losses:
                    arms.setdefault(name, set()).add(arm.arm)
    return [name for name, having in arms.items() if len(arms) <= _TERMS_OF_ONE_ARM or len(having) > 1]


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
    """One line for each arm that has the figure; None where no arm has it in two epochs."""
    series = {arm.arm: found for arm in study.arms if (found := courses(arm, read))}
    if max(map(longest, series.values()), default=0) < _LEAST_TO_DRAW:
        return None
    steep = loss and is_steep([value for course in series.values() for value in values_of(course)])
    panels = panels_of(study, looks, list(series))
    figure, drawn = canvas(columns=len(panels), sharey=True)
    for axes, panel in zip(drawn, panels, strict=True):
        for arm, look in panel.looks.items():
            draw(axes, series[arm], look)
            _mark_stop(axes, study.named(arm), series[arm], look)
        if steep:
            log_scale(axes)
        label_axes(axes, "" if axes is not drawn[0] else f"{axis}, log scale" if steep else axis)
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
    last = max((epoch for course in series.values() for own in course.values() for epoch in own), default=0)
    if last < _LEAST_TO_ZOOM:
        return None
    first = last - min(last // _ZOOMED_SHARE, _ZOOMED_MOST) + 1
    tails = {arm: tail for arm, course in series.items() if (tail := _since(course, first))}
    if max(map(longest, tails.values())) < _LEAST_TO_DRAW:
        return None
    panels = panels_of(study, looks, list(tails))
    figure, drawn = canvas(columns=len(panels), sharey=True)
    for axes, panel in zip(drawn, panels, strict=True):
        for arm, look in panel.looks.items():
            draw(axes, tails[arm], look, apart=not ended_together(series[arm]))
        label_axes(axes, words.in_unit(metric, study.selected_by.unit) if axes is drawn[0] else "")
        axes.set_title(panel.title, fontsize=9)
    return chart(
        "curve-last-epochs",
        f"The last {last - first + 1} epochs",
        figure,
        f"{words.title(metric)} of the last epochs: {_ends(study, tails)}.",
        note=_absent(study, set(series) - set(tails)),
        legend=legend_over(study, panels),
    )


def _since(course: Course, first: int) -> Course:
    tails = {seed: {epoch: own[epoch] for epoch in own if epoch >= first} for seed, own in course.items()}
    return {seed: own for seed, own in tails.items() if own}


def _mark_stop(axes: Axes, arm: StudyArmFacts, course: Course, stroke: Stroke) -> None:
    """A cross where a trial was stopped early, since its curve then ends for another reason than the others'."""
    for trial in arm.trials:
        own = course.get(trial.seed)
        if own and any("early stopping" in note for note in trial.figures.notes):
            axes.plot([max(own)], [own[max(own)]], "X", color=stroke.colour, markersize=7, markeredgecolor="white")


def _reading(study: StudyFacts, series: Mapping[str, Course]) -> str:
    alike = {ended_together(course) for course in series.values() if len(course) > 1}
    stopped = any("early stopping" in note for arm in study.arms for t in arm.trials for note in t.figures.notes)
    told = ["Lines are means over seeds, bands reach from the lowest to the highest."] * (True in alike)
    told += ["Where seeds ended in different epochs, each has a line of its own."] * (False in alike)
    told += ["A cross marks an arm that was stopped early."] * stopped
    return " ".join(told)


def _absent(study: StudyFacts, arms: set[str]) -> str:
    names = [study.named(arm).label for arm in sorted(arms)]
    return f"{wording.joined(names)} ended before." if names else ""


def _ends(study: StudyFacts, series: Mapping[str, Course]) -> str:
    ends = (f"{study.named(arm).label} ends at {at_the_end(course):.4g}" for arm, course in series.items())
    return "; ".join(ends)
