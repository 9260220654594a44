"""The same test images through the arms of a study, each from its first finished run."""

from __future__ import annotations

from dataclasses import replace

from densedistill.distill.report.panels import Cell, Panels, Row, read_columns
from densedistill.distill.report.study_facts import StudyArm, StudyFacts, TrialFacts
from densedistill.distill.report.study_numbers import Numbers

_ARMS_SHOWN = 6
_EMPTY = Cell(picture=None, caption="", missing=False, correct=None)


def study_panels(study: StudyFacts, numbers: Numbers) -> Panels | None:
    """Input, truth and what the arms make of them; None where no run has panels.

    With many arms: teachers and controls first, then the methods with the best means.
    """
    sources = [(arm, trial) for arm in _chosen(study, numbers) if (trial := _shown(arm)) is not None]
    if not sources:
        return None
    columns: list[str] = []
    cells: dict[str, list[Cell]] = {}
    frames: dict[str, Row] = {}
    for arm, trial in sources:
        found = None if trial.run is None else read_columns(trial.run.folder, ("input", "truth", trial.figures.arm))
        if found is None:
            continue
        columns.append(arm.label)
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


def _chosen(study: StudyFacts, numbers: Numbers) -> list[StudyArm]:
    """At most a handful of arms, in the study's order."""
    arms = [arm for arm in study.arms if arm.role != "search"]
    if len(arms) <= _ARMS_SHOWN:
        return arms
    sign = -1 if study.metric.higher_is_better else 1
    last = float("inf")
    ranked = sorted(
        (one for one in numbers.arms if one.arm.role != "search"),
        key=lambda one: (one.arm.role == "method", last if one.compared is None else sign * one.compared.mean),
    )
    kept = {one.arm.arm for one in ranked[:_ARMS_SHOWN]}
    return [arm for arm in study.arms if arm.arm in kept]


def _shown(arm: StudyArm) -> TrialFacts | None:
    return next((trial for trial in arm.done if trial.run is not None), None)
