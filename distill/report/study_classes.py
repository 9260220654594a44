"""Where a classifier changes: class by class against its control, and how far its confidence can be trusted."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from densedistill.distill.gains import lead
from densedistill.distill.report.drawing import INK, MUTED, Chart, Stroke, canvas, chart, line_style
from densedistill.distill.report.study_facts import StudyArmFacts, StudyFacts
from densedistill.distill.report.study_frames import legend_of
from densedistill.distill.report.study_numbers import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ENDS = 6
"""Classes named at each end, where there are more than twice as many."""
_COMPARED = 4
_LEAST_IN_BIN = 5


def class_charts(study: StudyFacts, numbers: Numbers, looks: Mapping[str, Stroke]) -> list[Chart]:
    """Changes by class of the arms that gain most over their control, and the calibration of all arms."""
    pairs = [
        (one.arm, one.control)
        for one in numbers.judged
        if one.control.role == "control" and one.comparison.mean is not None
    ]
    gains = {
        one.arm.arm: lead(one.comparison.mean or 0.0, 0.0, higher=study.metric.higher_is_better)
        for one in numbers.judged
    }
    best = sorted(pairs, key=lambda pair: -gains[pair[0].arm])[:_COMPARED]
    charts = [_changes(arm, control) for arm, control in pairs if (arm, control) in best]
    return [one for one in (*charts, _calibration(study, looks)) if one is not None]


def class_changes(arm: StudyArmFacts, control: StudyArmFacts) -> dict[str, list[float]]:
    """Accuracy of `arm` minus that of `control` in points by class, one figure for each seed that both have."""
    theirs = {trial.seed: trial.figures.class_accuracy for trial in control.done}
    found: dict[str, list[float]] = {}
    for trial in arm.done:
        for name, accuracy in trial.figures.class_accuracy.items():
            if name in theirs.get(trial.seed, {}):
                found.setdefault(name, []).append(accuracy - theirs[trial.seed][name])
    return found


def _changes(arm: StudyArmFacts, control: StudyArmFacts) -> Chart | None:
    changes = class_changes(arm, control)
    if len(changes) < 2:
        return None
    ranked = sorted(changes, key=lambda name: statistics.fmean(changes[name]))
    named = ranked if len(ranked) <= 2 * _ENDS else [*ranked[:_ENDS], *ranked[-_ENDS:]]
    cut = len(named) < len(ranked)
    figure, axes = canvas(height=max(2.6, 0.7 + 0.24 * len(named)), columns=2 if cut else 1)
    _bars(axes[0], changes, named)
    means = [statistics.fmean(changes[name]) for name in ranked]
    if cut:
        _histogram(axes[1], means)
    up, down = sum(mean > 0 for mean in means), sum(mean < 0 for mean in means)
    seeds = max(len(values) for values in changes.values())
    over = f"means over {seeds} seeds" if seeds > 1 else "one seed"
    ends = "; left the ends of the ranking, right all classes" if cut else ""
    return chart(
        f"classes-{arm.arm}".replace("/", "-").replace(" ", "-"),
        f"Classes: {arm.label}",
        figure,
        f"{up} classes gain and {down} lose. Most: {ranked[-1]} {means[-1]:+.1f}; least: {ranked[0]} {means[0]:+.1f}.",
        note=(
            f"Accuracy by class minus that of {control.label}, {over}{ends}. "
            f"{up} of {len(means)} classes gain, {down} lose; single classes are not tested."
        ),
    )


def _histogram(axes: Axes, means: Sequence[float]) -> None:
    axes.hist(means, bins=min(20, len(means) // 3), color="#0072B2", alpha=0.75)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_xlabel("change, points")
    axes.set_ylabel("classes")


def _bars(axes: Axes, changes: Mapping[str, Sequence[float]], named: Sequence[str]) -> None:
    for place, name in enumerate(named):
        values = changes[name]
        mean = statistics.fmean(values)
        axes.barh(place, mean, 0.66, color="#009E73" if mean >= 0 else "#D55E00", alpha=0.75)
        if len(values) > 1:
            axes.plot(values, [place] * len(values), "o", color=INK, markersize=2.2, alpha=0.6)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(named)), [name if len(name) < 20 else f"{name[:19]}…" for name in named], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("change, points")


def _calibration(study: StudyFacts, looks: Mapping[str, Stroke]) -> Chart | None:
    """Accuracy by confidence; on the diagonal, confidence is what it says."""
    pooled = {arm.arm: bins for arm in study.arms if (bins := _pooled(arm))}
    if not pooled:
        return None
    figure, (axes,) = canvas(height=3.6)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    for arm, bins in pooled.items():
        stroke = looks[arm]
        axes.plot(
            [confidence for confidence, _ in bins],
            [accuracy for _, accuracy in bins],
            color=stroke.colour,
            linestyle=line_style(stroke),
            linewidth=min(stroke.width, 2.2),
            marker=stroke.marker,
            markersize=4,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy at that confidence")
    errors = [(arm, statistics.fmean(values)) for arm in study.arms if (values := _errors(arm))]
    told = "; ".join(f"{arm.label} {error:.3f}" for arm, error in errors)
    return chart(
        "calibration",
        "Calibration",
        figure,
        f"Expected calibration error: {told}.",
        note=(
            "Below the dashed line an arm is surer than it is right. Test images of all seeds together, by bins of "
            f"confidence; bins with fewer than {_LEAST_IN_BIN} images are left out. Calibration error: {told}."
        ),
        legend=legend_of(study, looks, list(pooled)),
    )


def _pooled(arm: StudyArmFacts) -> list[tuple[float, float]]:
    """(confidence, accuracy) of each bin with enough images, over all seeds."""
    trials = [trial.figures.calibration for trial in arm.done if trial.figures.calibration]
    found = []
    for bins in zip(*trials, strict=False):
        count = sum(one.count for one in bins)
        if count >= _LEAST_IN_BIN:
            confidence = sum(one.count * one.confidence for one in bins) / count
            found.append((confidence, sum(one.count * one.accuracy for one in bins) / count))
    return found


def _errors(arm: StudyArmFacts) -> list[float]:
    """The calibration error of each seed, from its bins."""
    found = []
    for trial in arm.done:
        total = sum(one.count for one in trial.figures.calibration)
        if total:
            gaps = (one.count * abs(one.accuracy - one.confidence) for one in trial.figures.calibration)
            found.append(sum(gaps) / total)
    return found
