"""What came out of a run, in plain sentences computed from its arms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from densedistill.distill import wording
from densedistill.distill.arm_names import ArmName, Kind
from densedistill.distill.gains import best, lead
from densedistill.distill.report import words
from densedistill.distill.report.facts import ArmFacts, RunFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """The split that the arms are compared on: the first test set, or validation until every arm was tested."""

    where: str
    value: Callable[[ArmFacts], float | None]


def basis(run: RunFacts) -> Basis:
    """Test figures where every arm has one, else validation figures."""
    if run.arms and all(arm.test is not None for arm in run.arms):
        name = next(iter(run.data.tests), "") or next((name for arm in run.arms for name in arm.tests), "")
        return Basis(where=f"the test set {name}".rstrip(), value=lambda arm: arm.test)
    return Basis(where="the validation split", value=lambda arm: arm.val)


def summarise(run: RunFacts) -> str:
    """One paragraph: what each arm reached, whether distillation helped, by how much, and how far that reaches."""
    on = basis(run)
    measured = [arm for arm in run.arms if math.isfinite(_minus(on.value(arm), 0.0)) and on.value(arm) is not None]
    if not measured:
        return "No arm has been measured yet."
    sentences = [_state(run)] if not run.finished or not all(arm.finished for arm in run.arms) else []
    teachers = [arm for arm in measured if ArmName.parse(arm.arm).kind == "teacher"]
    sentences += [_teacher(run, on, arm, first=index == 0) for index, arm in enumerate(teachers)]
    for arm in measured:
        if ArmName.parse(arm.arm).kind == "student":
            sentences += _student(run, on, arm, measured)
    if len(measured) > 1:
        sentences.append(_best(run, on, measured))
        sentences.append("One seed: no statistical claim.")
    return " ".join(sentences)


def partner(arm: ArmFacts, arms: Sequence[ArmFacts], kind: Kind) -> ArmFacts | None:
    """The scratch or direct control of `arm`: of its own member, or the one that its generation shares."""
    name = ArmName.parse(arm.arm)
    named = {ArmName.parse(other.arm): other for other in arms}
    own = ArmName(generation=name.generation, member=name.member, kind=kind)
    return named.get(own) or named.get(replace(own, member=""))


def _state(run: RunFacts) -> str:
    if run.finished:
        waiting = [arm.arm for arm in run.arms if not arm.finished]
        return f"This run has not finished: {wording.joined(waiting)} {'is' if len(waiting) == 1 else 'are'} under way."
    return "This run has not finished: the figures are the best of each arm so far."


def _teacher(run: RunFacts, on: Basis, arm: ArmFacts, *, first: bool) -> str:
    place = f"On {on.where}, the" if first else "The"
    reached = f"{words.label(run.metric.name)} {wording.figure(on.value(arm), run.metric.unit)}"
    return f"{place} teacher{_aside(arm)} reaches {reached}."


def _student(run: RunFacts, on: Basis, arm: ArmFacts, arms: Sequence[ArmFacts]) -> list[str]:
    unit = run.metric.unit
    who = _subject(run, arm)
    teacher = next((other for other in arms if other.arm == arm.teacher), None)
    reached = f"{who}{_aside(arm, teacher)}, distilled, reaches {wording.figure(on.value(arm), unit)}"
    direct = partner(arm, arms, "direct")
    told = []
    scratch = partner(arm, arms, "scratch")
    if scratch is None:
        lacking = "without a scratch control" if run.finished else "until its scratch control has run"
        told.append(f"{reached}; {lacking}, whether distillation helped cannot be said.")
    else:
        told.append(f"{reached}; the same network trained from scratch, {wording.figure(on.value(scratch), unit)}.")
        told.append(_verdict(run, on, arm, scratch, teacher))
    if direct is not None:
        told.append(f"Taught directly by generation 1, it reaches {wording.figure(on.value(direct), unit)}.")
    return told


def _verdict(run: RunFacts, on: Basis, arm: ArmFacts, scratch: ArmFacts, teacher: ArmFacts | None) -> str:
    gain = _minus(on.value(arm), on.value(scratch))
    written = wording.difference(gain, run.metric.unit)
    if written.strip("+\N{MINUS SIGN}") == wording.difference(0.0, run.metric.unit).strip("+"):
        return "Distillation made no visible difference."
    if lead(gain, 0.0, higher=run.metric.higher_is_better) < 0:
        return f"In this run distillation did not help: {written} against scratch."
    if arm.gap_closed is None:
        behind = teacher is not None and _behind(run, on, teacher, scratch)
        tail = ", though its teacher does not beat the scratch student, so that there is no gap to close" * behind
        return f"In this run distillation brought {written} over scratch{tail}."
    if arm.gap_closed >= 1:
        return (
            f"In this run distillation brought {written} over scratch, and the student matches or passes its teacher."
        )
    return (
        f"In this run distillation brought {written} over scratch, "
        f"which closes {wording.share(arm.gap_closed)} of the gap to its teacher."
    )


def _best(run: RunFacts, on: Basis, arms: Sequence[ArmFacts]) -> str:
    leading = best(arms, lambda arm: _minus(on.value(arm), 0.0), higher=run.metric.higher_is_better)
    role = words.roles([arm.arm for arm in run.arms])[leading.arm]
    return f"The best arm is {'the ' if role.startswith(('teacher', 'student')) else ''}{role}."


def _subject(run: RunFacts, arm: ArmFacts) -> str:
    role = words.roles([other.arm for other in run.arms])[arm.arm].removesuffix(" (distilled)")
    return "The student" if role == "student" else role[:1].upper() + role[1:]


def _aside(arm: ArmFacts, teacher: ArmFacts | None = None) -> str:
    """The network, its size and how much smaller than its teacher it is, in brackets."""
    parts = [arm.network] if arm.network else []
    if arm.params is not None:
        parts.append(f"{wording.parameters(arm.params)} parameters")
    if teacher is not None and teacher.params and arm.params and teacher.params > arm.params:
        parts.append(f"{teacher.params / arm.params:.1f} times fewer than its teacher")
    return f" ({', '.join(parts)})" if parts else ""


def _behind(run: RunFacts, on: Basis, teacher: ArmFacts, scratch: ArmFacts) -> bool:
    return lead(_minus(on.value(teacher), on.value(scratch)), 0.0, higher=run.metric.higher_is_better) <= 0


def _minus(a: float | None, b: float | None) -> float:
    return (a or 0.0) - (b or 0.0)
