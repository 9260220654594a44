"""The report of a run: one file that carries its pictures and style and needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from densedistill.distill import wording
from densedistill.distill.arm_names import ArmName
from densedistill.distill.files import write_text
from densedistill.distill.report import words
from densedistill.distill.report.drawing import Chart, Stroke, strokes
from densedistill.distill.report.export import write_beside
from densedistill.distill.report.facts import ArmFacts, RunFacts
from densedistill.distill.report.mechanism import mechanism_chart
from densedistill.distill.report.panels import read_panels
from densedistill.distill.report.reading import read_run
from densedistill.distill.report.run_groups import as_study
from densedistill.distill.report.study_classes import class_charts
from densedistill.distill.report.study_curves import curve_charts
from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_outcomes import outcome_charts
from densedistill.distill.report.study_tables import study_sheets
from densedistill.distill.report.summary import basis, summarise
from densedistill.distill.report.templates import filled, unbroken

_SLOW_COLUMNS = ("epochs", "time", "images/s", "peak memory")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One arm's figure at the head of the page."""

    role: str
    figure: str
    note: str
    stroke: Stroke


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """One arm in a table: who it is, then its cells in the order of the head."""

    role: str
    arm: str
    finished: bool
    stroke: Stroke
    network: str
    init: str
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Heads of the cells and one row for each arm."""

    heads: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCharts:
    """The charts of a run, by the part of the page they stand in."""

    training: Sequence[Chart]
    outcome: Sequence[Chart]
    classes: Sequence[Chart]
    mechanism: Sequence[Chart]

    @property
    def all(self) -> list[Chart]:
        """In the order of the page."""
        return [*self.training, *self.outcome, *self.classes, *self.mechanism]


def write_report(run_dir: Path) -> Path:
    """Write `report.html` into a run folder, finished or not, and return its path.

    The file is self-contained: style inline, figures and pictures as data URIs, no script and no request. It replaces
    an earlier one in one step.

    Raises:
        RequestError: `run_dir` holds no run, or one of the run's files cannot be read.
    """
    target = run_dir / "report.html"
    run = read_run(run_dir)
    write_text(target, render(run, draw(run)), undecoded="backslashreplace")
    return target


def write_report_and_files(run_dir: Path, target: Path) -> Path:
    """Write a run's report as `target`, and its figures and tables as files of their own beside it; returns `target`.

    Raises:
        RequestError: `run_dir` holds no run, or one of the run's files cannot be read.
    """
    run = read_run(run_dir)
    figures, study = draw(run), as_study([run])
    write_text(target, render(run, figures), undecoded="backslashreplace")
    panels = read_panels(run.folder, [arm.arm for arm in run.arms])
    write_beside(target, figures.all, study_sheets(study, compute(study)), panels)
    return target


def draw(run: RunFacts) -> RunCharts:
    """Every chart that the run has data for."""
    study = as_study([run])
    numbers = compute(study)
    looks = strokes([arm.arm for arm in run.arms])
    mechanism = mechanism_chart(run)
    return RunCharts(
        training=curve_charts(study, looks),
        outcome=outcome_charts(study, numbers, looks),
        classes=class_charts(study, numbers, looks),
        mechanism=[] if mechanism is None else [mechanism],
    )


def _legend(run: RunFacts) -> list[tuple[str, Stroke]]:
    names = [arm.arm for arm in run.arms]
    named, looks = words.roles(names), strokes(names)
    return [(named[arm], looks[arm]) for arm in names]


def render(run: RunFacts, figures: RunCharts) -> str:
    """The report as HTML."""
    names = [arm.arm for arm in run.arms]
    named = words.roles(names, [reference.arm for reference in run.references])
    looks = strokes(names)
    return filled(
        "report.html.j2",
        run=run,
        metric_label=words.title(run.metric.name),
        summary=unbroken(summarise(run)),
        tiles=_tiles(run, named, looks),
        legend=_legend(run),
        arms=_arms_table(run, named, looks),
        baselines=_baselines(run),
        every_metric=_every_metric(run, named, looks),
        references=_references(run, named),
        panels=read_panels(run.folder, names),
        figures=figures,
        notices=_notices(run, named),
        contradictions=run.arithmetic,
        fidelity=_fidelity(run, named, looks),
        data=_data(run),
        remarks=_remarks(run, named),
    )


def _tiles(run: RunFacts, named: Mapping[str, str], looks: Mapping[str, Stroke]) -> list[Tile]:
    on = basis(run)
    return [
        Tile(
            role=named[arm.arm],
            figure=wording.figure(on.value(arm), run.metric.unit),
            note=_tile_note(arm),
            stroke=looks[arm.arm],
        )
        for arm in run.arms
    ]


def _tile_note(arm: ArmFacts) -> str:
    if not arm.finished:
        return f"epoch {arm.epochs}, no result yet"
    if arm.gap_closed is not None and ArmName.parse(arm.arm).kind != "scratch":
        return f"{wording.share(arm.gap_closed)} of the gap closed" if arm.gap_closed >= 0 else "behind scratch"
    return f"{wording.parameters(arm.params)} parameters"


def _arms_table(run: RunFacts, named: Mapping[str, str], looks: Mapping[str, Stroke]) -> Table:
    tests = _test_names(run.arms)
    transfers = any(arm.transfer_efficiency is not None for arm in run.arms)
    shares = ("gap closed", "retention", *(["transfer efficiency"] if transfers else []))
    heads = ("parameters", "val", *(f"test: {name}" for name in tests), *shares, *_SLOW_COLUMNS)
    rows = []
    for arm in run.arms:
        figures = (arm.val, *(arm.tests.get(name, {}).get(run.metric.name) for name in tests))
        cells = (
            wording.parameters(arm.params),
            *(wording.figure(value, run.metric.unit) for value in figures),
            wording.share(arm.gap_closed),
            wording.share(arm.retention),
            *([wording.share(arm.transfer_efficiency)] if transfers else []),
            wording.count(arm.epochs),
            wording.duration(arm.seconds),
            wording.rate(arm.images_per_second),
            wording.memory(arm.peak_memory_mb),
        )
        rows.append(_row(arm, cells, named, looks))
    return Table(heads=heads, rows=tuple(rows))


def _remarks(run: RunFacts, named: Mapping[str, str]) -> list[tuple[str, str]]:
    """Who, and what was noted of them; arms of which the same was noted are named together."""
    arms: dict[str, list[str]] = {}
    for arm in run.arms:
        for note in arm.notes:
            arms.setdefault(note, []).append(named[arm.arm])
    return [(", ".join(names), note) for note, names in arms.items()]


def _notices(run: RunFacts, named: Mapping[str, str]) -> list[tuple[str, str]]:
    """Who, and what was seen in its training."""
    return [(named[arm.arm], notice.text) for arm in run.arms for notice in arm.notices]


def _baselines(run: RunFacts) -> list[str]:
    """A sentence for each baseline."""
    sentences = []
    for baseline in run.baselines:
        figures = {"val": baseline.val, **baseline.tests}
        shown = ", ".join(f"{wording.figure(value, run.metric.unit)} on {name}" for name, value in figures.items())
        sentences.append(f"Without a network, {baseline.name}: {shown}.")
    return sentences


def _every_metric(run: RunFacts, named: Mapping[str, str], looks: Mapping[str, Stroke]) -> dict[str, Table]:
    """A table for each test set with every metric measured on it."""
    tables = {}
    for test in _test_names(run.arms):
        scored = [(arm, arm.tests[test]) for arm in run.arms if test in arm.tests]
        metrics = list(dict.fromkeys(name for _, figures in scored for name in figures))
        rows = (
            _row(arm, [wording.figure(figures.get(name), _unit(run, name)) for name in metrics], named, looks)
            for arm, figures in scored
        )
        tables[test] = Table(heads=tuple(words.label(name) for name in metrics), rows=tuple(rows))
    return tables


def _fidelity(run: RunFacts, named: Mapping[str, str], looks: Mapping[str, Stroke]) -> Table | None:
    measured = [arm for arm in run.arms if arm.fidelity]
    if not measured:
        return None
    heads = list(dict.fromkeys(name for arm in measured for name in arm.fidelity))
    rows = (
        _row(arm, [wording.figure(arm.fidelity.get(name), words.unit_of(name)) for name in heads], named, looks)
        for arm in measured
    )
    return Table(heads=tuple(words.label(name) for name in heads), rows=tuple(rows))


def _row(arm: ArmFacts, cells: Sequence[str], named: Mapping[str, str], looks: Mapping[str, Stroke]) -> TableRow:
    return TableRow(
        role=named[arm.arm],
        arm=arm.arm,
        finished=arm.finished,
        stroke=looks[arm.arm],
        network=arm.network or wording.ABSENT,
        init=arm.init or wording.ABSENT,
        cells=tuple(cells),
    )


def _references(run: RunFacts, named: Mapping[str, str]) -> list[tuple[str, str, str, str, str]]:
    """Arm, metric, value, split and source with its note, for each published figure."""
    shown = []
    for entry in run.references:
        metric = entry.metric or run.metric.name
        source = " ".join(part for part in (entry.source, entry.note) if part)
        value = wording.figure(entry.value, _unit(run, metric))
        shown.append((named[entry.arm], words.label(metric), value, entry.split, source))
    return shown


def _data(run: RunFacts) -> list[tuple[str, str]]:
    data = run.data
    counts = [("training images", data.train), ("validation images", data.val)]
    counts += [(f"test images, {name}", int(images)) for name, images in data.tests.items()]
    facts = [("name", data.name), *((name, wording.count(value)) for name, value in counts if value is not None)]
    return [(name, value) for name, value in (*facts, ("fingerprint", data.fingerprint)) if value]


def _test_names(arms: Sequence[ArmFacts]) -> list[str]:
    return list(dict.fromkeys(name for arm in arms for name in arm.tests))


def _unit(run: RunFacts, metric: str) -> str:
    return run.metric.unit if metric == run.metric.name else words.unit_of(metric)
