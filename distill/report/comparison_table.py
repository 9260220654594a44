"""The tables of a study's comparisons and contrasts."""

from __future__ import annotations

from densedistill.distill import wording
from densedistill.distill.report.sheets import Cell, Sheet
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_numbers import Judgement, Numbers
from densedistill.distill.statistics import Interval
from densedistill.distill.statistics.verdict import probability

_OUTCOMES = {"better": "better", "worse": "worse", "none": "no difference shown", "untested": "not tested"}


def comparisons_sheet(study: StudyFacts, numbers: Numbers) -> Sheet:
    """One row for each comparison, with every statistic and the verdict."""
    return Sheet(
        name="comparisons",
        title="Comparisons",
        note=(
            "Differences are arm minus control, mean ± standard deviation over the seeds that both have. "
            "p, Holm is the paired test's (Welch's where no seed is shared), corrected for all comparisons"
            f"{' and contrasts' if numbers.contrasts else ''} here; a "
            "difference is claimed only where it is below 0.05 and both intervals leave out 0. The bootstrap interval "
            "(BCa) of so few seeds is too narrow to stand alone."
        ),
        heads=("arm", "against", *_heads(study)),
        texts=3,
        rows=tuple(
            (Cell(one.label), Cell(one.against), *_statistics(one, study.metric.unit)) for one in numbers.judged
        ),
    )


def contrasts_sheet(study: StudyFacts, numbers: Numbers) -> Sheet:
    """One row for each contrast, likewise; none of a study without."""
    return Sheet(
        name="contrasts",
        title="Contrasts",
        note=(
            "Whether one gain is larger than another: the difference of the two, by seed and for the seeds that all "
            "its arms have, mean ± standard deviation. Tested and corrected together with the comparisons."
        ),
        heads=("contrast", "gain", "minus", *_heads(study)),
        texts=4,
        rows=tuple(
            (Cell(one.label), Cell(one.own), Cell(one.against), *_statistics(one, study.metric.unit))
            for one in numbers.contrasts
        ),
    )


def _heads(study: StudyFacts) -> tuple[str, ...]:
    unit = "points" if study.metric.unit == "%" else study.metric.unit
    return (
        "verdict",
        "pairs",
        f"difference{f', {unit}' if unit else ''}",
        "95 % t interval",
        "95 % bootstrap",
        "p, paired",
        "p, Welch",
        "p, Holm",
        "d_z",
        "Hedges' g",
    )


def _statistics(one: Judgement, unit: str) -> tuple[Cell, ...]:
    found = one.comparison
    difference, welch, paired = found.difference, found.welch, found.paired
    deviation = None if difference is None else difference.std
    about = "" if deviation is None else f" ± {wording.figure(deviation, unit, bare=True)}"
    return (
        Cell(_OUTCOMES[one.verdict.outcome]),
        Cell(str(len(found.differences)), len(found.differences)),
        Cell(f"{wording.figure(found.mean, unit, signed=True, bare=True)}{about}", found.mean),
        _interval(paired.interval if paired else welch.interval if welch and not found.differences else None, unit),
        _interval(found.bootstrap, unit),
        _p(None if paired is None else paired.p),
        _p(None if welch is None else welch.p),
        _p(found.p_adjusted),
        _effect(found.effect_paired),
        _effect(found.effect),
    )


def _interval(interval: Interval | None, unit: str) -> Cell:
    if interval is None:
        return Cell(wording.ABSENT)
    low, high = (wording.figure(value, unit, signed=True, bare=True) for value in (interval.low, interval.high))
    return Cell(f"{low} to {high}", f"{interval.low} {interval.high}")


def _p(value: float | None) -> Cell:
    return Cell(probability(value).removeprefix("p ").removeprefix("= "), value)


def _effect(value: float | None) -> Cell:
    return Cell(wording.ABSENT if value is None else f"{value:+.2f}".replace("-", "\N{MINUS SIGN}"), value)
