"""Training and validation loss of a study's arms beside each other: how far apart they end."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from densedistill.distill.report.drawing import Chart, Stroke, canvas, chart, wrapped
from densedistill.distill.report.facts import EpochFacts, RunFacts
from densedistill.distill.report.study_courses import Course, courses, longest, values_of
from densedistill.distill.report.study_facts import StudyArmFacts, StudyFacts
from densedistill.distill.report.study_frames import draw, is_steep, log_scale, panels_of

_SHOWN = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class _Losses:
    """Of one arm."""

    arm: StudyArmFacts
    train: Course
    val: Course

    @property
    def gap(self) -> float:
        """Validation minus training, each seed in its own last epoch that has both, the mean over seeds."""
        return statistics.fmean(
            self.val[seed][epoch] - self.train[seed][epoch]
            for seed, shared in _shared(self.train, self.val).items()
            for epoch in [max(shared)]
        )


def gap_chart(study: StudyFacts, looks: Mapping[str, Stroke]) -> Chart | None:
    """Training and validation loss of each arm, and their distance at its end."""
    task = task_term(study)
    every = [
        _Losses(arm=arm, train=_own(arm, task), val=courses(arm, lambda line: line.val_loss)) for arm in study.arms
    ]
    found = [one for one in every if _shared(one.train, one.val)]
    if not found or max(longest(one.val) for one in found) < 2:
        return None
    shown = _chosen(found)
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    figure, drawn = canvas(height=0.5 + 2.0 * rows, rows=rows, columns=columns, sharey=True, sharex=True)
    panels = panels_of(study, looks, [one.arm.arm for one in shown])
    colours = {arm: look.colour for panel in panels for arm, look in panel.looks.items()}
    steep = is_steep([value for one in shown for course in (one.train, one.val) for value in values_of(course)])
    for axes, one in zip(drawn, shown, strict=False):
        colour = colours.get(one.arm.arm, looks[one.arm.arm].colour)
        draw(axes, one.val, Stroke(colour=colour, dashes=(), width=1.8))
        draw(axes, one.train, Stroke(colour=colour, dashes=(2.0, 1.4), width=1.4))
        told = f"{one.gap:+.3g}".replace("-", "\N{MINUS SIGN}")
        axes.set_title(f"{wrapped(one.arm.label, 78 // columns)}\ngap {told}", fontsize=8)
        if steep:
            log_scale(axes)
    for unused in drawn[len(shown) :]:
        unused.set_visible(False)
    drawn[0].set_ylabel("loss, log scale" if steep else "loss")
    gaps = "; ".join(f"{one.arm.label} {one.gap:+.3g}" for one in shown)
    left = f" {len(found) - len(shown)} more arms are not drawn." if len(found) > len(shown) else ""
    return chart(
        "generalisation-gap",
        "Training and validation loss",
        figure,
        f"Validation loss minus training loss at the end: {gaps}.",
        note=(
            "Solid: validation; dashed: training, by the task's own term and without a teacher's. The gap is their "
            f"distance in each seed's last epoch. Augmentation makes training harder than validation.{left}"
        ),
    )


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


def _chosen(found: Sequence[_Losses]) -> list[_Losses]:
    """A handful, in order: each condition's first arms, and no teacher while there are others."""
    rank: dict[int, tuple[bool, int]] = {}
    seen: dict[tuple[bool, str], int] = {}
    for place, one in enumerate(found):
        kind = (one.arm.role == "teacher", one.arm.condition)
        rank[place] = (kind[0], seen.setdefault(kind, 0))
        seen[kind] += 1
    kept = sorted(sorted(rank, key=lambda place: rank[place])[:_SHOWN])
    return [found[place] for place in kept]


def _own(arm: StudyArmFacts, task: tuple[str, float] | None) -> Course:
    """The training loss that compares with the validation loss: without a teacher's terms.

    It is the whole loss of an arm without a teacher, and the task's term of one with a teacher.
    """

    def read(line: EpochFacts) -> float | None:
        if all(trial.figures.teacher is None for trial in arm.trials):
            return line.train_loss
        return None if task is None or task[0] not in line.losses else task[1] * line.losses[task[0]]

    return courses(arm, read)


def _shared(first: Course, second: Course) -> dict[int, set[int]]:
    """The epochs that both have, by seed."""
    found = {seed: set(own) & set(second.get(seed, ())) for seed, own in first.items()}
    return {seed: epochs for seed, epochs in found.items() if epochs}


def _trained(arms: Sequence[StudyArmFacts]) -> list[tuple[RunFacts, str]]:
    return [(trial.run, trial.figures.arm) for arm in arms for trial in arm.trials if trial.run is not None]
