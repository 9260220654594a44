"""Reading a study's folder: `study.json`, and beside it the runs of its trials where they are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from densedistill.distill.errors import RequestError
from densedistill.distill.report.facts import ArmFacts, MetricFacts, ReferenceFacts, RunFacts
from densedistill.distill.report.reading import (
    arm_facts,
    data_facts,
    holds_run,
    metric_facts,
    plain,
    read_object,
    read_run,
    strings,
)
from densedistill.distill.report.shared_teachers import merged
from densedistill.distill.report.study_facts import (
    ContrastFacts,
    State,
    StudyArmFacts,
    StudyFacts,
    TeacherFacts,
    TrialFacts,
)
from densedistill.distill.report.values import entries, fields, integer, text

SCHEMA = 1


def is_study(folder: Path) -> bool:
    """Whether `folder` holds a study."""
    return (folder / "study.json").is_file()


def read_study_facts(folder: Path) -> StudyFacts:
    """Read a study's folder, finished or not; trials whose run folders are gone keep the figures of `study.json`.

    Raises:
        RequestError: there is no `study.json`, it cannot be read, or it is of another schema.
    """
    if not is_study(folder):
        raise RequestError(
            f"'{folder}' holds no study: there is no study.json in it; give the folder of study.py --out."
        )
    study = read_object(folder / "study.json", "remove it and run the study again, which goes on and writes it anew")
    if integer(study.get("schema")) != SCHEMA:
        raise RequestError(
            f"'{folder / 'study.json'}' is of schema {study.get('schema')}, and this version reads schema {SCHEMA}: "
            "use the version that wrote it."
        )
    claim = fields(study.get("claim"))
    source = text(claim.get("source"))
    metric = metric_facts(fields(study.get("metric")))
    called = fields(study.get("condition_labels"))
    arms = tuple(_arm(folder, entry, metric.name, called) for entry in entries(study.get("arms")))
    names = {arm.arm for arm in arms}
    teachers = tuple(_teacher(folder, entry, metric.name) for entry in entries(study.get("teachers")))
    same = merged(teachers)
    return StudyFacts(
        folder=folder,
        name=text(study.get("study")) or folder.name,
        task=text(study.get("task")),
        preset=text(study.get("preset")),
        question=text(study.get("question")),
        claim=text(claim.get("text")),
        claim_source=source,
        expects={arm: text(side) for arm, side in fields(claim.get("expects")).items()},
        metric=metric,
        selected_by=_selected_by(arms) or metric,
        data=data_facts(fields(study.get("data"))),
        axes={name: tuple(values) for name, values in fields(study.get("axes")).items() if isinstance(values, list)},
        arms=tuple(replace(arm, teacher=same.get(arm.teacher, arm.teacher)) for arm in arms),
        pairs=_pairs(entries(study.get("arms")), names, text(study.get("control"))),
        contrasts=_contrasts(entries(study.get("contrasts")), names),
        teachers=tuple(teacher for teacher in teachers if same[teacher.key] == teacher.key),
        references=tuple(one for one in references_of(_runs(arms)) if belongs(one, source)),
        arithmetic=strings(study.get("arithmetic")) if source else arithmetic_of(_runs(arms)),
        complete=bool(study.get("complete", all(_ended(arm) for arm in arms))),
        warnings=strings(study.get("warnings")),
        notes=strings(study.get("notes")),
        command=strings(study.get("command")),
        environment={key: plain(value) for key, value in fields(study.get("environment")).items()},
    )


def references_of(runs: Iterable[RunFacts | None]) -> tuple[ReferenceFacts, ...]:
    """The published figures beside any of `runs`, each once."""
    return tuple(dict.fromkeys(reference for run in runs if run is not None for reference in run.references))


def arithmetic_of(runs: Iterable[RunFacts | None]) -> tuple[str, ...]:
    """What does not follow in the references of any of `runs`, each once."""
    return tuple(dict.fromkeys(sentence for run in runs if run is not None for sentence in run.arithmetic))


def _runs(arms: Iterable[StudyArmFacts]) -> list[RunFacts | None]:
    return [trial.run for arm in arms for trial in arm.trials]


def belongs(reference: ReferenceFacts, source: str) -> bool:
    """Whether a published figure is of the document that a study's claim comes from; any is where none is claimed."""
    return not source or bool(_documents(reference.source) & _documents(source))


def _documents(source: str) -> set[str]:
    """The reference documents that a source names by number; without one, the source itself."""
    return set(re.findall(r"reference \d{3}", source)) or {source}


def find_arm(run: RunFacts | None, arm: str) -> ArmFacts | None:
    """The arm of that name in a run."""
    return None if run is None else next((one for one in run.arms if one.arm == arm), None)


def _arm(folder: Path, entry: Mapping[str, Any], metric: str, called: Mapping[str, object]) -> StudyArmFacts:
    """An arm; `called` has names of conditions for people, as they stand in arms' labels."""
    name, condition = text(entry.get("arm")), text(entry.get("condition"))
    return StudyArmFacts(
        arm=name,
        label=text(entry.get("label")) or name,
        role=text(entry.get("role")) or "method",
        settings=dict(fields(entry.get("settings"))),
        axes=dict(fields(entry.get("axes"))),
        condition=text(called.get(condition)) or condition,
        teacher=text(entry.get("teacher")),
        trials=tuple(_trial(folder, trial, metric) for trial in entries(entry.get("trials"))),
    )


def _trial(folder: Path, entry: Mapping[str, Any], metric: str) -> TrialFacts:
    name = text(entry.get("arm_in_run")) or "gen_02"
    run = _run(folder, entry.get("run"), metric)
    state = text(entry.get("state"))
    measured = find_arm(run, name) if state == "done" else None
    return TrialFacts(
        seed=integer(entry.get("seed")) or 0,
        state=_state(state),
        figures=measured or _stated(entry, name, metric),
        run=run,
        error=text(entry.get("error")),
        retries=integer(entry.get("retries")) or 0,
    )


def _teacher(folder: Path, entry: Mapping[str, Any], metric: str) -> TeacherFacts:
    run = _run(folder, entry.get("run"), metric)
    return TeacherFacts(
        key=text(entry.get("key")),
        figures=find_arm(run, "gen_01") or _stated(entry, "gen_01", metric),
        run=run,
        state=_state(text(entry.get("state")) or "done"),
        error=text(entry.get("error")),
        retries=integer(entry.get("retries")) or 0,
    )


def _stated(entry: Mapping[str, Any], name: str, metric: str) -> ArmFacts:
    """What study.json itself says of a trial or a teacher."""
    return _judged_by(metric, arm_facts({"arms": [{**entry, "arm": name}]})[0])


def _run(folder: Path, named: object, metric: str) -> RunFacts | None:
    """The run of a trial; None where it was not kept, or has not written anything yet."""
    path = folder / text(named)
    if not text(named) or not holds_run(path):
        return None
    run = read_run(path)
    return replace(run, arms=tuple(_judged_by(metric, arm) for arm in run.arms))


def _judged_by(metric: str, arm: ArmFacts) -> ArmFacts:
    """`arm` by the study's figure of its first test set, where that is not the one that its run was judged by."""
    test = next(iter(arm.tests.values()), {}).get(metric, arm.test)
    return arm if test == arm.test else replace(arm, test=test, retention=None, gap_closed=None)


def _selected_by(arms: Iterable[StudyArmFacts]) -> MetricFacts | None:
    """The metric of the runs, by which they chose their epochs; None where no run is there."""
    return next((trial.run.metric for arm in arms for trial in arm.trials if trial.run is not None), None)


def _state(value: str) -> State:
    return next((state for state in get_args(State) if state == value), "waiting")


def _pairs(arms: Sequence[Mapping[str, Any]], names: set[str], control: str) -> tuple[tuple[str, str], ...]:
    """Each arm with what it stands against: what it names, else the study's control."""
    found = []
    for entry in arms:
        if text(entry.get("role")) == "search":
            # A point that a search tried once, and that was chosen among others, is no evidence.
            continue
        arm, against = text(entry.get("arm")), text(entry.get("against"))
        if not against and text(entry.get("role")) != "control" and "against" not in entry:
            against = control
        if against in names and against != arm:
            found.append((arm, against))
    return tuple(found)


def _contrasts(listed: Sequence[Mapping[str, Any]], names: set[str]) -> tuple[ContrastFacts, ...]:
    """The contrasts whose four arms are there."""
    found = []
    for entry in listed:
        of, minus = strings(entry.get("of")), strings(entry.get("minus"))
        name = text(entry.get("contrast"))
        if len(of) == len(minus) == 2 and names.issuperset((*of, *minus)):
            label = text(entry.get("label")) or name
            found.append(ContrastFacts(contrast=name, label=label, of=(of[0], of[1]), minus=(minus[0], minus[1])))
    return tuple(found)


def _ended(arm: StudyArmFacts) -> bool:
    return all(trial.state in ("done", "failed", "pruned") for trial in arm.trials)
