"""A study's answer and tables as Markdown, ready to commit."""

from __future__ import annotations

import shlex

from densedistill.distill import wording
from densedistill.distill.report.sheets import to_markdown
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_numbers import Numbers, compute
from densedistill.distill.report.study_tables import study_sheets
from densedistill.distill.report.study_words import answer, notices_of


def study_markdown(study: StudyFacts) -> str:
    """The question, the answer, the tables, and where the figures come from."""
    numbers = compute(study)
    sheets = [to_markdown(sheet) for sheet in study_sheets(study, numbers)]
    return "\n".join(part for part in (_head(study, numbers), *sheets, _arithmetic(study), _origin(study)) if part)


def _head(study: StudyFacts, numbers: Numbers) -> str:
    found = answer(study, numbers)
    parts = [f"# {study.question or study.name}", found.headline]
    parts += ["\n".join(found.listed)] * bool(found.listed)
    if study.claim:
        source = f" ({study.claim_source})" if study.claim_source else ""
        parts.append(f"Claim examined{source}: {study.claim}{f' **{found.claim}**' if found.claim else ''}")
    parts += [part for part in (*study.notes, found.state, *study.warnings) if part]
    told = [f"{who}: {text}" for who, text in notices_of(study)]
    parts += ["Seen in training:\n\n" + "\n".join(f"- {line}" for line in told)] * bool(told)
    return "\n\n".join(parts) + "\n"


def _arithmetic(study: StudyFacts) -> str:
    told = study.arithmetic
    lines = "\n".join(f"- {sentence}" for sentence in told)
    return f"**Arithmetic of the references**: what does not follow from their own figures\n\n{lines}\n" if told else ""


def _origin(study: StudyFacts) -> str:
    data = study.data
    counts = [f"{wording.count(data.train)} training images"] * (data.train is not None)
    counts += [f"{wording.count(data.val)} for validation"] * (data.val is not None)
    counts += [f"{int(images):,} in test set {name}" for name, images in data.tests.items()]
    told = [f"{data.name} ({data.fingerprint})" if data.fingerprint else data.name, ", ".join(counts)]
    lines = [f"Data: {': '.join(part for part in told if part)}."] * bool(data.name)
    lines += [f"Command: `{shlex.join(study.command)}`"] * bool(study.command)
    environment = ", ".join(f"{name} {value}" for name, value in study.environment.items())
    lines += [f"Environment: {environment}."] * bool(environment)
    return "\n\n".join(lines) + "\n"
