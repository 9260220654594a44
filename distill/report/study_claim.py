"""Whether what a study's claim implies was seen: each verdict beside what the claim says of that difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from densedistill.distill import wording
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_numbers import Judgement

Bearing = Literal["borne out", "contradicted", "not shown", "not tested"]


def bearing(study: StudyFacts, judged: Judgement) -> Bearing | None:
    """What came of the claim in one comparison or contrast; None where it says nothing of it.

    Borne out and contradicted are said of differences that the verdict itself claims, and of no others: a claim whose
    effect is there but too small for the seeds is "not shown", and so is one that is wrong by as little.
    """
    expected = study.expects.get(judged.name)
    if expected is None:
        return None
    outcome = judged.verdict.outcome
    if outcome in ("better", "worse"):
        return "borne out" if outcome == expected else "contradicted"
    return "not shown" if outcome == "none" else "not tested"


def marked(study: StudyFacts, judged: Judgement) -> str:
    """The verdict, and where the claim says something of this difference, what came of it."""
    found = bearing(study, judged)
    if found is None:
        return judged.verdict.text
    return f"{judged.verdict.text}. The claim says {study.expects[judged.name]}: {found}"


def claim_sentence(study: StudyFacts, judged: Sequence[Judgement]) -> str:
    """What came of the claim in all; empty where it implies nothing of these arms."""
    found = [(one, kind) for one in judged if (kind := bearing(study, one)) is not None]
    if not found:
        return ""
    if len(found) == 1:
        [(one, kind)] = found
        return f"That {one.own} is {study.expects[one.name]} than {one.against} is {kind} here."
    kinds = [kind for _, kind in found]
    counts = [(kinds.count(kind), kind) for kind in ("borne out", "contradicted", "not shown", "not tested")]
    parts = [f"{count} {'is' if count == 1 else 'are'} {kind}" for count, kind in counts if count]
    return f"Of {len(found)} differences that follow from it, {wording.joined(parts)} here."
