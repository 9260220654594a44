"""The same test images through the teachers and arms of a study, each arm from its first finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from densedistill.distill.gains import lead
from densedistill.distill.report.panels import Cell, Panels, Row, read_columns
from densedistill.distill.report.shared_teachers import teacher_labels
from densedistill.distill.report.study_facts import StudyArmFacts, StudyFacts, TrialFacts
from densedistill.distill.report.study_numbers import Numbers

_ARMS_SHOWN = 6
_EMPTY = Cell(picture=None, caption="", missing=False, correct=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """Where a column comes from."""

    label: str
    folders: tuple[Path, ...]
    """Of runs: the first that has the column."""
    column: str
    """Its name there."""

    def read(self) -> Panels | None:
        """Input, truth and the column; None where no run has it."""
        read = (read_columns(folder, ("input", "truth", self.column)) for folder in self.folders)
        return next((found for found in read if found is not None), None)


def study_panels(study: StudyFacts, numbers: Numbers) -> Panels | None:
    """Input, truth and what the arms make of them; None where no run has panels.

    With many arms: those that are compared with nothing first, which are their conditions' controls, then those with
    the best means.
    """
    arms = _chosen(study, numbers)
    sources = _teachers(study, arms)
    sources += [
        _Source(label=arm.label, folders=(trial.run.folder,), column=trial.figures.arm)
        for arm in arms
        if (trial := _shown(arm)) is not None and trial.run is not None
    ]
    columns: list[str] = []
    cells: dict[str, list[Cell]] = {}
    frames: dict[str, Row] = {}
    for source in sources:
        found = source.read()
        if found is None:
            continue
        columns.append(source.label)
        for row in found.rows:
            frames.setdefault(row.name, row)
            cells.setdefault(row.name, list(row.cells[:2]))
            cells[row.name] += [_EMPTY] * (len(columns) + 1 - len(cells[row.name])) + [row.cells[2]]
    if not columns:
        return None
    width = len(columns) + 2
    rows = tuple(
        replace(frame, cells=tuple(cells[name] + [_EMPTY] * (width - len(cells[name]))))
        for name, frame in frames.items()
    )
    return Panels(columns=("input", "truth", *columns), rows=rows)


def _teachers(study: StudyFacts, arms: Sequence[StudyArmFacts]) -> list[_Source]:
    """Each shared teacher of `arms`, from its own run or else from one that learned from it."""
    labels = teacher_labels(study)
    own = {one.key: one.run for one in study.teachers}
    found = []
    for key in dict.fromkeys(arm.teacher for arm in arms if arm.teacher in own):
        taught = (_shown(arm) for arm in arms if arm.teacher == key)
        runs = [own[key], *(trial.run for trial in taught if trial is not None)]
        folders = tuple(run.folder for run in runs if run is not None)
        found.append(_Source(label=labels[key], folders=folders, column="gen_01"))
    return found


def _chosen(study: StudyFacts, numbers: Numbers) -> list[StudyArmFacts]:
    """At most a handful of arms, in the study's order."""
    arms = [arm for arm in study.arms if arm.role != "search"]
    if len(arms) <= _ARMS_SHOWN:
        return arms
    last, higher = float("inf"), study.metric.higher_is_better
    compared = {arm for arm, _ in study.pairs}
    ranked = sorted(
        (one for one in numbers.arms if one.arm.role != "search"),
        key=lambda one: (
            one.arm.arm in compared,
            last if one.compared is None else -lead(one.compared.mean, 0.0, higher=higher),
        ),
    )
    kept = {one.arm.arm for one in ranked[:_ARMS_SHOWN]}
    return [arm for arm in study.arms if arm.arm in kept]


def _shown(arm: StudyArmFacts) -> TrialFacts | None:
    return next((trial for trial in arm.done if trial.run is not None), None)
