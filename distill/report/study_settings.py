"""The table of what a study's arms are configured otherwise in."""

from __future__ import annotations

from collections.abc import Mapping

from densedistill.distill import wording
from densedistill.distill.report.configurations import differing, experiment, of_teaching, written
from densedistill.distill.report.sheets import Cell, Sheet
from densedistill.distill.report.study_facts import StudyArmFacts, StudyFacts
from densedistill.distill.report.study_numbers import is_taught


def settings_sheet(study: StudyFacts) -> Sheet | None:
    """The fields of the resolved configurations in which arms differ."""
    told = [(arm, config) for arm in study.arms if (config := _config(study, arm))]
    every = [config for _, config in told]
    teaching = [config for arm, config in told if not _learns_alone(arm)]
    names = [name for name in differing(every) if not of_teaching(name) or name in differing(teaching)]
    if not names:
        return None
    heads = ("field", *(arm.label for arm, _ in told))
    lines = [(name, *(written(config.get(name)) for _, config in told)) for name in names]
    if len(told) > len(names):
        heads, lines = ("arm", *names), [(arm.label, *map(written, map(config.get, names))) for arm, config in told]
    alone = " An arm without a teacher has no method and no teacher's fields." if len(teaching) < len(told) else ""
    return Sheet(
        name="configurations",
        title="Differences of the configurations",
        note=f"Every field of the resolved configurations that is not the same in all arms.{alone}",
        heads=heads,
        texts=len(heads),
        rows=tuple(tuple(Cell(part or wording.ABSENT) for part in line) for line in lines),
    )


def _config(study: StudyFacts, arm: StudyArmFacts) -> Mapping[str, object]:
    """The resolved configuration of an arm's first run, as far as it concerns the arm; without a run, the settings that
    the study names.

    A run that takes over a shared teacher names no weights: where these came from, the teacher's own run says.
    """
    run = next((trial.run for trial in arm.trials if trial.run is not None and trial.run.config), None)
    config = experiment(run.config) if run is not None else dict(arm.settings)
    if _learns_alone(arm):
        return {name: value for name, value in config.items() if not of_teaching(name)}
    shared = next((one.run for one in study.teachers if one.key == arm.teacher), None)
    if shared is not None and shared.config:
        config["teacher_weights"] = experiment(shared.config).get("teacher_weights")
    return config


def _learns_alone(arm: StudyArmFacts) -> bool:
    """Whether it is a student without a teacher."""
    return arm.role != "teacher" and not is_taught(arm)
