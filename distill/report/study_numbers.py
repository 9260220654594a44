"""What is computed from a study's trials: each arm over its seeds, and each comparison with its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from densedistill.distill.arm_names import ArmName
from densedistill.distill.gains import gap_closed, retention
from densedistill.distill.report.facts import ArmFacts
from densedistill.distill.report.study_facts import ContrastFacts, StudyArmFacts, StudyFacts, TrialFacts
from densedistill.distill.statistics import (
    Comparison,
    Spread,
    Verdict,
    compare,
    gain_name,
    give_verdict,
    spread,
    with_gains,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmNumbers:
    """An arm over the seeds that are done."""

    arm: StudyArmFacts
    figures: dict[int, float]
    """The figure that arms are compared by, by seed."""
    compared: Spread | None
    """Of these figures."""
    val: Spread | None
    test: Spread | None
    retention: Spread | None
    """Share of the teacher's figure, 1 = all."""
    gap_closed: float | None
    """(arm - control) / (teacher - control) of the means, where the control has no teacher; None without the two, or
    where there is no gap."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A test and what may be said of it: of an arm against its control, or of a contrast."""

    name: str
    """Of the arm or the contrast."""
    label: str
    """Its name for people."""
    own: str
    """What is measured, likewise: the arm, or the first of a contrast's two gains."""
    against: str
    """What that is measured against: the control, or the gain that is taken off."""
    comparison: Comparison
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged(Judgement):
    """An arm against its control."""

    arm: StudyArmFacts
    control: StudyArmFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """Everything computed."""

    where: str
    """What the figures were measured on, such as `the test set collage`."""
    tested: bool
    """Whether that is a test set; else it is validation, until all trials are tested."""
    arms: tuple[ArmNumbers, ...]
    judged: tuple[Judged, ...]
    contrasts: tuple[Judgement, ...] = ()

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """Every test of the family that p values are corrected over: comparisons, then contrasts."""
        return (*self.judged, *self.contrasts)

    def of(self, arm: str) -> ArmNumbers:
        """The numbers of the arm of that name."""
        return next(one for one in self.arms if one.arm.arm == arm)


def compute(study: StudyFacts, *, level: float = 0.95) -> Numbers:
    """Means, deviations, comparisons and verdicts; failed, pruned and unfinished trials count nowhere."""
    done = [trial for arm in study.arms for trial in arm.done]
    tested = bool(done) and all(trial.figures.test is not None for trial in done)
    # Validation has the figure that runs are selected by; a study that is judged by another one waits for test.
    tested = tested or study.metric != study.selected_by
    figures = {arm.arm: _by_seed(arm, lambda facts: facts.test if tested else facts.val) for arm in study.arms}
    sides = [pair for one in study.contrasts for pair in (one.of, one.minus)]
    gained = [(gain_name(one.of), gain_name(one.minus)) for one in study.contrasts]
    found = compare(with_gains(figures, sides), [*study.pairs, *gained], level=level)
    name = next(iter(study.data.tests), "")
    return Numbers(
        where=f"the test set {name}".rstrip() if tested else "the validation split",
        tested=tested,
        arms=tuple(_numbers(study, arm, figures) for arm in study.arms),
        judged=tuple(_judged(study, comparison) for comparison in found[: len(study.pairs)]),
        contrasts=tuple(
            _contrast(study, one, comparison)
            for one, comparison in zip(study.contrasts, found[len(study.pairs) :], strict=True)
        ),
    )


def over_seeds(trials: Iterable[TrialFacts], read: Callable[[ArmFacts], float | None]) -> Spread | None:
    """Mean and deviation of a figure over the trials that have it; None where none has."""
    return maybe(read(trial.figures) for trial in trials)


def maybe(values: Iterable[float | None]) -> Spread | None:
    """The spread of the finite ones among `values`; None without any."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return spread(known) if known else None


def teacher_figure(study: StudyFacts, arm: StudyArmFacts, trial: TrialFacts) -> float | None:
    """The test figure of what taught one trial: an arm of its own run, or where that is gone the shared teacher."""
    arms = () if trial.run is None else trial.run.arms
    own = next((other.test for other in arms if other.arm == trial.figures.teacher), None)
    if own is not None:
        return own
    shared = next((teacher for teacher in study.teachers if teacher.key == arm.teacher), None)
    learned = ArmName.parse(trial.figures.arm)
    # The teacher of a third generation is in its run alone.
    chained = learned.kind == "student" and learned.generation > 2
    return None if shared is None or chained else shared.figures.test


def is_taught(arm: StudyArmFacts) -> bool:
    """Whether the arm learns from a teacher."""
    return bool(arm.teacher) or any(trial.figures.teacher for trial in arm.trials)


def _by_seed(arm: StudyArmFacts, read: Callable[[ArmFacts], float | None]) -> dict[int, float]:
    found = {trial.seed: read(trial.figures) for trial in arm.done}
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def _numbers(study: StudyFacts, arm: StudyArmFacts, figures: dict[str, dict[int, float]]) -> ArmNumbers:
    teachers = [teacher_figure(study, arm, trial) for trial in arm.done]
    shares = [retention(trial.figures.test, teacher) for trial, teacher in zip(arm.done, teachers, strict=True)]
    kept = [trial.figures.retention if share is None else share for trial, share in zip(arm.done, shares, strict=True)]
    own = figures[arm.arm]
    test = over_seeds(arm.done, lambda facts: facts.test)
    return ArmNumbers(
        arm=arm,
        figures=own,
        compared=spread(list(own.values())) if own else None,
        val=over_seeds(arm.done, lambda facts: facts.val),
        test=test,
        retention=maybe(kept),
        gap_closed=_gap_closed(study, arm, test, maybe(teachers)),
    )


def _gap_closed(study: StudyFacts, arm: StudyArmFacts, own: Spread | None, teacher: Spread | None) -> float | None:
    control = next((against for name, against in study.pairs if name == arm.arm), None)
    if control is None or own is None or teacher is None or is_taught(study.named(control)):
        return None
    scratch = over_seeds(study.named(control).done, lambda facts: facts.test)
    if scratch is None:
        return None
    return gap_closed(own.mean, scratch.mean, teacher.mean, higher=study.metric.higher_is_better)


def _judged(study: StudyFacts, comparison: Comparison) -> Judged:
    arm, control = study.named(comparison.arm), study.named(comparison.against)
    return Judged(
        name=arm.arm,
        label=arm.label,
        own=arm.label,
        against=control.label,
        comparison=comparison,
        verdict=_verdict(study, comparison, arm.label, control.label),
        arm=arm,
        control=control,
    )


def _contrast(study: StudyFacts, one: ContrastFacts, comparison: Comparison) -> Judgement:
    of, minus = (" \N{MINUS SIGN} ".join(study.named(arm).label for arm in pair) for pair in (one.of, one.minus))
    return Judgement(
        name=one.contrast,
        label=one.label,
        own=of,
        against=minus,
        comparison=comparison,
        verdict=_verdict(study, comparison, of, minus),
    )


def _verdict(study: StudyFacts, comparison: Comparison, arm: str, control: str) -> Verdict:
    better = study.metric.higher_is_better
    return give_verdict(comparison, study.metric.unit, higher_is_better=better, arm=arm, control=control)
