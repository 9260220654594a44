"""A study's answer in its first lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from densedistill.distill.report import words
from densedistill.distill.report.arithmetic import contradictions
from densedistill.distill.report.study_claim import claim_sentence, marked
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_numbers import ArmNumbers, Judged, Numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a reader should know who reads no further."""

    headline: str
    """One or two sentences."""
    lines: tuple[tuple[str, str, str], ...]
    """(arm, verdict, outcome) for each comparison."""
    claim: str
    """What came of the study's claim; empty where it implies nothing of these arms."""
    state: str
    """What is still lacking; empty where every trial is done."""

    @property
    def listed(self) -> tuple[str, ...]:
        """The comparisons as lines of a list; none where the headline has said the only one."""
        return tuple(f"- {arm}: {verdict}." for arm, verdict, _ in self.lines) if len(self.lines) > 1 else ()


def answer(study: StudyFacts, numbers: Numbers) -> Answer:
    """The answer to the study's question, as far as its trials support one."""
    several_controls = len({one.control.arm for one in numbers.judged}) > 1
    lines = tuple((_sentence(one.arm.label), marked(study, one), one.verdict.outcome) for one in numbers.judged)
    told = [part for part in (_judgement(numbers.judged, several_controls), _best(study, numbers)) if part]
    return Answer(
        headline=" ".join(told) or "Nothing has been measured yet.",
        lines=lines,
        claim=claim_sentence(study, numbers.judged),
        state=_state(study),
    )


def notices_of(study: StudyFacts) -> list[tuple[str, str]]:
    """Who, and what was seen in training; seeds of which the same was seen are named together."""
    seen: dict[tuple[str, str], list[int]] = {}
    for arm in study.arms:
        for trial in arm.trials:
            for notice in trial.figures.notices:
                seen.setdefault((arm.label, notice.text), []).append(trial.seed)
    return [
        (f"{label}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}", text)
        for (label, text), seeds in seen.items()
    ]


def contradictions_of(study: StudyFacts) -> list[str]:
    """A sentence for each figure of the study's references that does not follow from their others."""
    sources = [study.claim_source, *(one.source for one in study.references)]
    return [one.sentence for one in contradictions(study.task, sources)]


def measured(spread_mean: float, deviation: float | None, count: int, unit: str) -> str:
    """`71.20 ± 0.31 %`; of one seed without a deviation."""
    about = "" if deviation is None else f" ± {words.figure(deviation, unit, bare=True)}"
    seeds = f" ({count} seeds)" if count > 1 else ""
    return f"{words.figure(spread_mean, unit, bare=True)}{about}{f' {unit}' if unit else ''}{seeds}"


def _judgement(judged: Sequence[Judged], several_controls: bool) -> str:
    if not judged:
        return ""
    if len(judged) == 1:
        return f"{_sentence(judged[0].arm.label)}: {judged[0].verdict.text}."
    control = "their controls" if several_controls else judged[0].control.label
    kinds = [one.verdict.outcome for one in judged]
    if all(kind == "untested" for kind in kinds):
        few = "one seed" if all(len(one.comparison.differences) <= 1 for one in judged) else "too few results"
        return f"No test is computed against {control} for any of {len(judged)} comparisons: {few}."
    better, worse, none, untested = (kinds.count(kind) for kind in ("better", "worse", "none", "untested"))
    parts = [f"{better} of {len(judged)} comparisons with {control} {'shows' if better == 1 else 'show'} a gain"]
    parts += [f"{worse} {'shows' if worse == 1 else 'show'} a loss"] * bool(worse)
    parts += [f"in {none} no difference is shown"] * bool(none)
    parts += [f"{untested} could not be tested"] * bool(untested)
    return f"{words.joined(parts)}."


def _best(study: StudyFacts, numbers: Numbers) -> str:
    """The highest mean among the arms that are no teachers; said as a ranking, which is no claim."""
    ranked = [one for one in numbers.arms if one.arm.role not in ("teacher", "search") and one.compared is not None]
    if not ranked:
        return ""
    choose = max if study.metric.higher_is_better else min
    best = choose(ranked, key=_mean)
    reached = best.compared
    if reached is None:
        return ""
    figure = measured(reached.mean, reached.std, reached.count, study.metric.unit)
    if len(ranked) == 1:
        return f"{_sentence(best.arm.label)} reaches {figure} on {numbers.where}."
    extreme = "highest" if study.metric.higher_is_better else "lowest"
    mean = "mean " if reached.count > 1 else ""
    reading = f"{mean}{words.label(study.metric.name)} on {numbers.where}"
    return f"The {extreme} {reading} is that of {best.arm.label}: {figure}."


def _mean(one: ArmNumbers) -> float:
    return one.compared.mean if one.compared is not None else 0.0


def _state(study: StudyFacts) -> str:
    kinds = {"failed": 0, "pruned": 0, "running": 0, "waiting": 0}
    for arm in study.arms:
        for trial in arm.trials:
            if trial.state in kinds:
                kinds[trial.state] += 1
    parts = [f"{count} {state}" for state, count in kinds.items() if count]
    total = sum(len(arm.trials) for arm in study.arms)
    return f"Of {total} trials, {words.joined(parts)}: they count in no figure here." if parts else ""


def _sentence(label: str) -> str:
    """A label at the start of a sentence; a short first word is a method's abbreviation, which stays as it is."""
    return label if len(label.split(maxsplit=1)[0].strip(",")) < 5 else label[:1].upper() + label[1:]
