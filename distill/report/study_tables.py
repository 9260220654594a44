"""The tables of a study's report."""

from __future__ import annotations

from collections.abc import Sequence

from densedistill.distill import wording
from densedistill.distill.report import words
from densedistill.distill.report.comparison_table import comparisons_sheet, contrasts_sheet
from densedistill.distill.report.facts import ArmFacts
from densedistill.distill.report.shared_teachers import teacher_labels
from densedistill.distill.report.sheets import Cell, Sheet, cell, spread_cell
from densedistill.distill.report.study_facts import StudyArmFacts, StudyFacts, TeacherFacts
from densedistill.distill.report.study_numbers import ArmNumbers, Numbers, over_seeds
from densedistill.distill.report.study_settings import settings_sheet
from densedistill.distill.statistics import Spread


def study_sheets(study: StudyFacts, numbers: Numbers) -> list[Sheet]:
    """Every table that has something to say, in the order of the page."""
    sheets = [
        arms_sheet(study, numbers),
        comparisons_sheet(study, numbers),
        contrasts_sheet(study, numbers),
        seeds_sheet(study, numbers),
        *metric_sheets(study),
        fidelity_sheet(study),
        settings_sheet(study),
        trials_sheet(study),
        references_sheet(study),
    ]
    return [sheet for sheet in sheets if sheet is not None and sheet.rows]


def arms_sheet(study: StudyFacts, numbers: Numbers) -> Sheet:
    """One row for each arm, shared teachers first: its size, what it reached, and at which cost."""
    val = words.in_unit(study.selected_by.name, study.selected_by.unit)
    test = words.in_unit(study.metric.name, study.metric.unit)
    shares = {
        "retention": any(one.retention for one in numbers.arms),
        "gap closed": any(one.gap_closed is not None for one in numbers.arms),
    }
    extra = [name for name, shown in shares.items() if shown]
    heads = ("arm", "network", "seeds", "parameters", f"val {val}", f"test {test}", *extra, "time", "images/s")
    called = teacher_labels(study)
    rows = [_teacher_row(study, one, called[one.key], extra) for one in study.teachers if one.state == "done"]
    rows += [_arm_row(study, one, extra) for one in numbers.arms]
    return Sheet(name="arms", title="Arms", note=_arms_note(numbers), heads=heads, texts=2, rows=tuple(rows))


def _arm_row(study: StudyFacts, one: ArmNumbers, extra: Sequence[str]) -> tuple[Cell, ...]:
    shares = {"retention": _share(one.retention), "gap closed": Cell(wording.share(one.gap_closed), one.gap_closed)}
    seconds = over_seeds(one.arm.done, lambda facts: facts.seconds)
    rate = over_seeds(one.arm.done, lambda facts: facts.images_per_second)
    return (
        Cell(one.arm.label),
        Cell(next((trial.figures.network for trial in one.arm.trials if trial.figures.network), wording.ABSENT)),
        Cell(f"{len(one.arm.done)} of {len(one.arm.trials)}", len(one.arm.done)),
        _parameters(next((trial.figures.params for trial in one.arm.trials if trial.figures.params), None)),
        spread_cell(one.val, study.selected_by.unit),
        spread_cell(one.test, study.metric.unit),
        *(shares[name] for name in extra),
        *_cost(seconds.mean if seconds else None, rate.mean if rate else None),
    )


def _teacher_row(study: StudyFacts, one: TeacherFacts, label: str, extra: Sequence[str]) -> tuple[Cell, ...]:
    return (
        Cell(label),
        Cell(one.figures.network or wording.ABSENT),
        Cell("shared", 1),
        _parameters(one.figures.params),
        cell(one.figures.val, study.selected_by.unit),
        cell(one.figures.test, study.metric.unit),
        *(Cell(wording.ABSENT) for _ in extra),
        *_cost(one.figures.seconds or None, one.figures.images_per_second or None),
    )


def seeds_sheet(study: StudyFacts, numbers: Numbers) -> Sheet:
    """The figures that the comparisons rest on, arm by seed."""
    seeds = sorted({trial.seed for arm in study.arms for trial in arm.trials})
    rows = []
    for one in numbers.arms:
        states = {trial.seed: trial.state for trial in one.arm.trials}
        cells = [
            cell(one.figures[seed], study.metric.unit)
            if seed in one.figures
            else Cell(states.get(seed, wording.ABSENT).replace("done", wording.ABSENT))
            for seed in seeds
        ]
        rows.append((Cell(one.arm.label), *cells, spread_cell(one.compared, study.metric.unit)))
    return Sheet(
        name="seeds",
        title=f"{words.title(study.metric.name)} by seed",
        note=f"Measured on {numbers.where}{f', in {study.metric.unit}' if study.metric.unit else ''}.",
        heads=("arm", *(f"seed {seed}" for seed in seeds), "mean ± std"),
        rows=tuple(rows),
    )


def metric_sheets(study: StudyFacts) -> list[Sheet]:
    """Every metric on every test set, over seeds."""
    sheets = []
    for test in dict.fromkeys(name for facts in _facts(study) for name in facts.tests):
        names = list(dict.fromkeys(name for facts in _facts(study) for name in facts.tests.get(test, {})))
        if len(names) < 2 and len(study.data.tests) < 2:
            continue
        units = {name: study.metric.unit if name == study.metric.name else words.unit_of(name) for name in names}
        rows = tuple(
            (Cell(arm.label), *(spread_cell(_metric(arm, test, name), units[name]) for name in names))
            for arm in study.arms
            if arm.done
        )
        heads = ("arm", *(words.in_unit(name, units[name]) for name in names))
        sheets.append(Sheet(name=f"metrics-{test}", title=f"Every metric on {test}", heads=heads, rows=rows))
    return sheets


def fidelity_sheet(study: StudyFacts) -> Sheet | None:
    """How closely students follow their teachers."""
    names = list(dict.fromkeys(name for facts in _facts(study) for name in facts.fidelity))
    if not names:
        return None
    rows = tuple(
        (Cell(arm.label), *(spread_cell(_fidelity(arm, name), words.unit_of(name)) for name in names))
        for arm in study.arms
        if any(trial.figures.fidelity for trial in arm.done)
    )
    heads = ("arm", *(words.in_unit(name, words.unit_of(name)) for name in names))
    return Sheet(name="fidelity", title="Fidelity to the teacher", heads=heads, rows=rows)


def trials_sheet(study: StudyFacts) -> Sheet | None:
    """Teachers and trials that failed, were pruned or repeated, and those that have not run."""
    told = [(f"teacher {one.key}", wording.ABSENT, one.state, one.retries, one.error) for one in study.teachers]
    told += [
        (arm.label, str(trial.seed), trial.state, trial.retries, trial.error)
        for arm in study.arms
        for trial in arm.trials
    ]
    rows = tuple(
        (Cell(who), Cell(seed), Cell(state), Cell(str(retries)), Cell(error or wording.ABSENT))
        for who, seed, state, retries, error in told
        if state != "done" or retries
    )
    if not rows:
        return None
    return Sheet(
        name="trials",
        title="Trials that did not simply finish",
        heads=("arm", "seed", "state", "retries", "why"),
        texts=5,
        rows=rows,
    )


def references_sheet(study: StudyFacts) -> Sheet | None:
    """Published figures, none of them measured here."""
    if not study.references:
        return None
    named = words.roles([], [reference.arm for reference in study.references])
    rows = []
    for reference in study.references:
        metric = reference.metric or study.metric.name
        unit = study.metric.unit if metric == study.metric.name else words.unit_of(metric)
        source = " ".join(part for part in (reference.source, reference.note) if part)
        rows.append(
            (
                Cell(named[reference.arm]),
                Cell(words.in_unit(metric, unit)),
                Cell(reference.split),
                Cell(source),
                cell(reference.value, unit),
            )
        )
    return Sheet(
        name="references",
        title="Figures of the reference",
        note="Reported by the sources named here, on their data and with their training. None was measured here.",
        heads=("arm", "metric", "split", "source", "value"),
        texts=4,
        rows=tuple(rows),
    )


def _cost(seconds: float | None, rate: float | None) -> tuple[Cell, Cell]:
    return Cell(wording.duration(seconds), seconds), Cell(wording.rate(rate), rate)


def _arms_note(numbers: Numbers) -> str:
    seeds = {one.compared.count for one in numbers.arms if one.compared is not None}
    deviation = "" if seeds <= {1} else "Mean ± standard deviation over seeds. "
    told = "Selected on validation; each test set is evaluated once, at the end. Time and images/s are of training."
    return f"{deviation}{told}"


def _share(spread: Spread | None) -> Cell:
    if spread is None:
        return Cell(wording.ABSENT)
    about = "" if spread.std is None else f" ± {100 * spread.std:.1f}"
    return Cell(f"{100 * spread.mean:.1f}{about} %", spread.mean)


def _parameters(count: int | None) -> Cell:
    return Cell(wording.parameters(count), count)


def _facts(study: StudyFacts) -> Sequence[ArmFacts]:
    return [trial.figures for arm in study.arms for trial in arm.done]


def _metric(arm: StudyArmFacts, test: str, name: str) -> Spread | None:
    return over_seeds(arm.done, lambda facts: facts.tests.get(test, {}).get(name))


def _fidelity(arm: StudyArmFacts, name: str) -> Spread | None:
    return over_seeds(arm.done, lambda facts: facts.fidelity.get(name))
