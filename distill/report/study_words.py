"""A study's answer in its first lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from densedistill.distill import wording
from densedistill.distill.gains import best
from densedistill.distill.report import words
from densedistill.distill.report.study_claim import claim_sentence, marked
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_numbers import ArmNumbers, Judged, Numbers

_CLAIMED = {"better": ("gain on", "gains on"), "worse": ("lose against", "loses against")}
"""What may be claimed, as verbs of several arms and of one."""
_NAMED = 4
_FEW = 4
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a reader should know who reads no further."""

    headline: str
    """One or two sentences."""
    lines: tuple[tuple[str, str, str], ...]
    """(arm or contrast, verdict, outcome) for each test, those first in which a difference is claimed."""
    claim: str
    """What came of the study's claim; empty where it implies nothing of these arms."""
    state: str
    """What is still lacking; empty where every trial is done."""

    @property
    def folded(self) -> int:
        """How many of the last lines need not be in sight: those that claim nothing, of more than a few."""
        idle = sum(outcome not in _CLAIMED for _, _, outcome in self.lines)
        return idle if len(self.lines) > _FEW else 0

    @property
    def listed(self) -> tuple[str, ...]:
        """The comparisons as lines of a list; none where the headline has said the only one."""
        return tuple(f"- {arm}: {verdict}." for arm, verdict, _ in self.lines) if len(self.lines) > 1 else ()


def answer(study: StudyFacts, numbers: Numbers) -> Answer:
    """The answer to the study's question, as far as its trials support one."""
    ordered = sorted(numbers.judgements, key=lambda one: one.verdict.outcome not in _CLAIMED)
    lines = tuple((_sentence(one.label), marked(study, one), one.verdict.outcome) for one in ordered)
    told = [part for part in (_judgement(numbers.judged, study.metric.unit), _best(study, numbers)) if part]
    return Answer(
        headline=" ".join(told) or "Nothing has been measured yet.",
        lines=lines,
        claim=claim_sentence(study, numbers.judgements),
        state=_state(study),
    )


def notices_of(study: StudyFacts) -> list[tuple[str, str]]:
    """Who, and what was seen in training; notices that differ in their figures alone are one, with these as ranges."""
    seen: dict[tuple[str, str], list[tuple[str, int, str]]] = {}
    for arm in study.arms:
        for trial in arm.trials:
            for notice in trial.figures.notices:
                kind = (notice.kind, _NUMBER.sub("#", notice.text))
                seen.setdefault(kind, []).append((arm.label, trial.seed, notice.text))
    return [(_seen_in(found), _ranged([text for _, _, text in found])) for found in seen.values()]


def _seen_in(found: Sequence[tuple[str, int, str]]) -> str:
    """The arm and its seeds, or the arms and the number of their trials."""
    labels = list(dict.fromkeys(label for label, _, _ in found))
    seeds = list(dict.fromkeys(seed for _, seed, _ in found))
    if len(labels) == 1:
        return f"{labels[0]}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    trials = len({(label, seed) for label, seed, _ in found})
    return f"{'; '.join(labels)} ({trials} trials)"


def _ranged(texts: Sequence[str]) -> str:
    """Texts that are alike but for their figures as one: `stopped at 34 to 63 % of its peak`."""
    figures = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    ends = iter([(min(column, key=float), max(column, key=float)) for column in figures])

    def written(_found: re.Match[str]) -> str:
        low, high = next(ends)
        return low if float(low) == float(high) else f"{low} to {high}"

    return _NUMBER.sub(written, texts[0])


def measured(spread_mean: float, deviation: float | None, count: int, unit: str) -> str:
    """`71.20 ± 0.31 %`; of one seed without a deviation."""
    about = "" if deviation is None else f" ± {wording.figure(deviation, unit, bare=True)}"
    seeds = f" ({count} seeds)" if count > 1 else ""
    return f"{wording.figure(spread_mean, unit, bare=True)}{about}{f' {unit}' if unit else ''}{seeds}"


def _judgement(judged: Sequence[Judged], unit: str) -> str:
    """Which arms differ from their controls, and by how much; then how many comparisons show nothing."""
    if not judged:
        return ""
    if len(judged) == 1:
        return f"{_sentence(judged[0].arm.label)}: {judged[0].verdict.text}."
    controls = {one.control.label for one in judged}
    control = controls.pop() if len(controls) == 1 else "their controls"
    kinds = [one.verdict.outcome for one in judged]
    if all(kind == "untested" for kind in kinds):
        few = "one seed" if all(len(one.comparison.differences) <= 1 for one in judged) else "too few results"
        return f"No test is computed against {control} for any of {len(judged)} comparisons: {few}."
    none, untested = (kinds.count(kind) for kind in ("none", "untested"))
    parts = _named_differences(judged, unit)
    if parts:
        parts += [f"in {none} of {len(judged)} comparisons no difference is shown"] * bool(none)
    else:
        parts = [f"in none of {len(judged)} comparisons with {control} is a difference shown"]
    parts += [f"{untested} could not be tested"] * bool(untested)
    return f"{_sentence('; '.join(parts))}."


def _named_differences(judged: Sequence[Judged], unit: str) -> list[str]:
    """`KD (+6.53) and ReviewKD (+6.54 points) gain on scratch`: the largest differences of those that are claimed."""
    found = [one for one in judged if one.verdict.outcome in _CLAIMED]
    largest = sorted(found, key=_size, reverse=True)[:_NAMED]
    grouped: dict[tuple[str, str], list[Judged]] = {}
    for one in found:
        if one in largest:
            grouped.setdefault((one.verdict.outcome, one.control.label), []).append(one)
    told = []
    for (outcome, control), group in sorted(grouped.items(), key=lambda entry: entry[0][0]):
        figures = [wording.figure(one.comparison.mean, unit, signed=True, bare=True) for one in group]
        figures[-1] = wording.difference(group[-1].comparison.mean or 0.0, unit)
        names = [f"{one.arm.label} ({figure})" for one, figure in zip(group, figures, strict=True)]
        several, single = _CLAIMED[outcome]
        told.append(f"{wording.joined(names)} {single if len(group) == 1 else several} {control}")
    for outcome, (several, single) in _CLAIMED.items():
        more = sum(one.verdict.outcome == outcome for one in found if one not in largest)
        told += [f"{more} more {(single if more == 1 else several).partition(' ')[0]}"] * bool(more)
    return told


def _size(one: Judged) -> float:
    return abs(one.comparison.mean or 0.0)


def _best(study: StudyFacts, numbers: Numbers) -> str:
    """The highest mean among the arms that are no teachers; said as a ranking, which is no claim."""
    ranked = [one for one in numbers.arms if one.arm.role not in ("teacher", "search") and one.compared is not None]
    if not ranked:
        return ""
    leading = best(ranked, _mean, higher=study.metric.higher_is_better)
    reached = leading.compared
    if reached is None:
        return ""
    figure = measured(reached.mean, reached.std, reached.count, study.metric.unit)
    if len(ranked) == 1:
        return f"{_sentence(leading.arm.label)} reaches {figure} on {numbers.where}."
    extreme = "highest" if study.metric.higher_is_better else "lowest"
    mean = "mean " if reached.count > 1 else ""
    reading = f"{mean}{words.label(study.metric.name)} on {numbers.where}"
    return f"The {extreme} {reading} is that of {leading.arm.label}: {figure}."


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
    return f"Of {total} trials, {wording.joined(parts)}: they count in no figure here." if parts else ""


def _sentence(label: str) -> str:
    """A label at the start of a sentence; a short first word that stands alone or has a capital is a method's
    abbreviation, which stays as it is."""
    first, _, more = label.partition(" ")
    abbreviated = not first.islower() or not more or first.endswith(",")
    return label if abbreviated and len(first.strip(",")) < 5 else label[:1].upper() + label[1:]
