"""What `study.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from densedistill.datasets.roots import ROOT_VARIABLE
from densedistill.distill.errors import InterruptedRunError, RequestError, RunFailedError
from densedistill.distill.progress import RichLog
from densedistill.distill.study import StudyDefinition, read_study
from densedistill.distill.study.definition import study_from
from densedistill.distill.study.fairness import warnings_of
from densedistill.distill.study.plan import StudyPlan
from densedistill.tasks.studies.registry import built_in, studies
from densedistill.tasks.study import StudyWork, prepared
from densedistill.tools.study_jobs import Helpers, recorded_words
from densedistill.tools.study_tables import arms_table, plan_table, studies_table


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Run the study, with helpers where `--jobs` asks for them, and print its table."""
    study = definition(options)
    plan = prepared(study)
    console = Console(stderr=True)
    command = ["python", "tools/study.py", *recorded_words(given)]
    out = folder(options, study)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for warning in warnings_of(plan):
        say(f"warning: {warning}")
    work = StudyWork(plan, out, storage=options.storage, command=command, log=RichLog, say=say)
    if options.retry_failed:
        reopened = work.reopen()
        say(f"to be run again: {', '.join(reopened) or 'nothing has failed'}")
    with Helpers(given, options.jobs - 1, work.folder.logs, say):
        try:
            record = work.run()
        except InterruptedRunError as error:
            again = shlex.join(["python", "tools/study.py", *given])
            raise InterruptedRunError(f"{error} Go on with: {again}", error.exit_status) from error
    return 0 if options.helper else _finish(record, work.folder.path)


def _finish(record: Mapping[str, Any], path: Path) -> int:
    headline, *rest = _answer(path)
    print(headline)
    Console().print(arms_table(record))
    for line in rest:
        print(line)
    print(f"report: {_write_report(path)}")
    failed = [
        f"{arm['arm']} seed {trial['seed']} ({trial['error']})"
        for arm in record["arms"]
        for trial in arm["trials"]
        if trial["state"] == "failed"
    ]
    if failed:
        raise RunFailedError(
            f"{len(failed)} of the study's trials failed, after the retries its rule allows: {'; '.join(failed)}. The "
            "others are done and stand in study.json."
        )
    return 0


def definition(options: argparse.Namespace) -> StudyDefinition:
    """The study that the command line names, with what it changes.

    Raises:
        RequestError: none is named, or it is wrong.
    """
    if options.study is None:
        raise RequestError("no study is named: give --study NAME or a YAML file; --list shows the built-in ones.")
    if options.jobs < 1:
        raise RequestError(f"--jobs is {options.jobs}: give 1 or more processes.")
    if options.study.endswith((".yaml", ".yml")):
        if options.preset is not None:
            raise RequestError(
                f"--preset {options.preset} is the size of a built-in study, but '{options.study}' is a file: leave "
                "it out; the task's preset is the field `preset` in the file."
            )
        study = read_study(Path(options.study))
    else:
        study = built_in(options.study, options.preset or "demo")
    return changed(study, options)


def changed(study: StudyDefinition, options: argparse.Namespace) -> StudyDefinition:
    """`study` with the command line's seeds, teacher, data and device."""
    base = {
        "teacher_weights": None if options.teacher_weights is None else str(Path(options.teacher_weights).absolute()),
        "data.root": None if options.data_root is None else str(Path(options.data_root).absolute()),
        "device": options.device,
    }
    given = {key: value for key, value in base.items() if value is not None}
    values = {**study.plain(), "base": {**study.base, **given}}
    if "data.root" in given:
        values = _below(given["data.root"], values)
    if options.seeds is not None:
        values["seeds"] = [seed.strip() for seed in options.seeds.split(",")]
    return study_from(values, "--study")


def _below(root: str, values: Any) -> Any:
    """`values` with the folder `root` where a study file leaves it to the environment."""
    if isinstance(values, dict):
        return {name: _below(root, value) for name, value in values.items()}
    if isinstance(values, list):
        return [_below(root, value) for value in values]
    return values.replace(f"${ROOT_VARIABLE}", root) if isinstance(values, str) else values


def folder(options: argparse.Namespace, study: StudyDefinition) -> Path:
    """The study's folder; a command without `--out` finds the same one again."""
    return Path(options.out or Path("runs") / "studies" / f"{study.name}-{study.size}")


def show_list() -> int:
    """Print the built-in studies."""

    def runs(study: StudyDefinition) -> int:
        plan = prepared(study)
        return len(plan.teachers) + sum(len(arm.seeds) for arm in plan.arms)

    Console().print(studies_table(studies(), runs))
    return 0


def print_study(options: argparse.Namespace) -> int:
    """Print the study as YAML on stdout."""
    sys.stdout.write(definition(options).yaml())
    return 0


def dry_run(options: argparse.Namespace) -> int:
    """List the arms, take two steps of each kind, and print the estimated time."""
    from densedistill.tools.study_estimate import estimate

    plan: StudyPlan = prepared(definition(options))
    console = Console()
    for warning in warnings_of(plan):
        console.print(f"warning: {warning}", markup=False)
    costs = estimate(plan)
    console.print(plan_table(plan, costs))
    workers = min(options.jobs, os.cpu_count() or 1)
    console.print(f"estimated training time in all: {costs.in_words(workers)} (evaluation not counted)")
    return 0


def _answer(path: Path) -> list[str]:
    """What the report begins with, its headline first."""
    from densedistill.distill.report.study_numbers import compute
    from densedistill.distill.report.study_reading import read_study_facts
    from densedistill.distill.report.study_words import answer

    study = read_study_facts(path)
    found = answer(study, compute(study))
    source = f" ({study.claim_source})" if study.claim_source else ""
    claim = [f"The claim{source}: {study.claim} {found.claim}"] if found.claim else []
    return [line for line in (found.headline, *found.listed, *claim, found.state) if line]


def _write_report(path: Path) -> Path:
    from densedistill.distill.report import write_study_report

    return write_study_report(path)
