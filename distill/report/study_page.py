"""The report of a study, or of several runs: one file that needs nothing else, its figures and tables beside it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from densedistill.distill import wording
from densedistill.distill.files import write_text
from densedistill.distill.report import words
from densedistill.distill.report.drawing import Chart, Legend
from densedistill.distill.report.export import write_beside
from densedistill.distill.report.mechanism import mechanism_chart
from densedistill.distill.report.panels import Panels
from densedistill.distill.report.sheets import Sheet
from densedistill.distill.report.study_classes import class_charts
from densedistill.distill.report.study_curves import curve_charts
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_grids import grid_charts
from densedistill.distill.report.study_looks import study_strokes
from densedistill.distill.report.study_numbers import Numbers, compute
from densedistill.distill.report.study_outcomes import outcome_charts
from densedistill.distill.report.study_reading import read_study_facts
from densedistill.distill.report.study_samples import study_panels
from densedistill.distill.report.study_tables import study_sheets
from densedistill.distill.report.study_words import answer, notices_of
from densedistill.distill.report.templates import filled, unbroken


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Charts under a heading, with the legend they share."""

    title: str
    charts: tuple[Chart, ...]
    legend: Legend


def write_study_report(folder: Path) -> Path:
    """Write `report.html` into a study's folder, finished or not, with `report_files/` beside it; returns its path.

    Raises:
        RequestError: `folder` holds no study, or one of its files cannot be read.
    """
    return write_comparison(read_study_facts(folder), folder / "report.html")


def write_comparison(study: StudyFacts, target: Path) -> Path:
    """Write the report of `study` as `target`, which it replaces in one step, and the files beside it."""
    numbers = compute(study)
    sections = sections_of(study, numbers)
    sheets = study_sheets(study, numbers)
    panels = study_panels(study, numbers)
    write_text(target, render_study(study, numbers, sections, sheets, panels), undecoded="backslashreplace")
    write_beside(target, [chart for section in sections for chart in section.charts], sheets, panels)
    return target


def render_study(
    study: StudyFacts, numbers: Numbers, sections: Sequence[Section], sheets: Sequence[Sheet], panels: Panels | None
) -> str:
    """The report as HTML."""
    found = answer(study, numbers)
    verdicts = [(arm, unbroken(text), outcome) for arm, text, outcome in found.lines]
    return filled(
        "study.html.j2",
        study=study,
        headline=unbroken(found.headline),
        verdicts=verdicts[: len(verdicts) - found.folded],
        folded=verdicts[len(verdicts) - found.folded :],
        claim_found=found.claim,
        state=found.state,
        metric_label=words.title(study.metric.name),
        sections=sections,
        panels=panels,
        notices=notices_of(study),
        contradictions=study.arithmetic,
        sheets=sheets,
        data=_data(study),
        command=shlex.join(study.command),
    )


def sections_of(study: StudyFacts, numbers: Numbers) -> list[Section]:
    """Every chart that there is data for, under its heading."""
    looks = study_strokes(study)
    drawn = (
        ("Outcome", outcome_charts(study, numbers, looks)),
        ("Settings", grid_charts(study, numbers)),
        ("Training", curve_charts(study, looks)),
        ("Classes and confidence", class_charts(study, numbers, looks)),
        ("Mechanism", _mechanisms(study)),
    )
    return [_section(title, charts) for title, charts in drawn if charts]


def _section(title: str, charts: Sequence[Chart]) -> Section:
    # Charts of one section draw an arm alike, and the one with most of them names all.
    legend = max((one.legend for one in charts), key=len, default=())
    return Section(title=title, charts=tuple(charts), legend=legend)


def _mechanisms(study: StudyFacts) -> list[Chart]:
    runs = (trial.run for arm in study.arms if arm.role == "method" for trial in arm.trials if trial.run is not None)
    drawn = (mechanism_chart(run) for run in runs)
    first = next((one for one in drawn if one is not None), None)
    return [] if first is None else [first]


def _data(study: StudyFacts) -> list[tuple[str, str]]:
    data = study.data
    counts = [("training images", data.train), ("validation images", data.val)]
    counts += [(f"test images, {name}", int(images)) for name, images in data.tests.items()]
    facts = [("name", data.name), *((name, wording.count(value)) for name, value in counts if value is not None)]
    return [(name, value) for name, value in (*facts, ("fingerprint", data.fingerprint)) if value]
