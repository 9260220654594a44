"""A figure of an arm's training by epoch, seed by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

from densedistill.distill.report.facts import EpochFacts
from densedistill.distill.report.study_facts import StudyArmFacts, TrialFacts

Read = Callable[[EpochFacts], float | None]
Course = Mapping[int, Mapping[int, float]]
"""A figure by epoch, by seed; each seed has an epoch at least."""


def courses(arm: StudyArmFacts, read: Read) -> Course:
    """A figure of every trial that was trained."""
    found = {trial.seed: _course(trial, read) for trial in arm.trials}
    return {seed: course for seed, course in found.items() if course}


def ended_together(course: Course) -> bool:
    """Whether all seeds have the same last epoch, so that a mean over them is one of the same seeds throughout."""
    return len({max(own) for own in course.values()}) <= 1


def by_epoch(course: Course) -> dict[int, list[float]]:
    """The figure of every seed in each epoch that all of them have."""
    shared = set.intersection(*(set(own) for own in course.values()))
    return {epoch: [own[epoch] for own in course.values()] for epoch in sorted(shared)}


def at_the_end(course: Course) -> float:
    """The mean over seeds, each in its own last epoch."""
    return statistics.fmean(own[max(own)] for own in course.values())


def longest(course: Course) -> int:
    """Epochs of the seed that has the most."""
    return max(len(own) for own in course.values())


def values_of(course: Course) -> list[float]:
    """Every figure in it."""
    return [value for own in course.values() for value in own.values()]


def _course(trial: TrialFacts, read: Read) -> dict[int, float]:
    lines = () if trial.run is None else trial.run.lines_of(trial.figures.arm)
    figures = ((line.epoch, read(line)) for line in lines)
    return {epoch: value for epoch, value in figures if value is not None and math.isfinite(value)}
