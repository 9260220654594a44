"""What `doctor.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from densedistill.distill.doctor.chain import DoctorChain
from densedistill.distill.doctor.examination import examine
from densedistill.distill.doctor.finding import Diagnosis, Finding
from densedistill.distill.errors import RunFailedError
from densedistill.distill.machine.guard import naming_failures
from densedistill.tasks.parts import load_parts
from densedistill.tools.distill_actions import request

STYLES = {"pass": "green", "skip": "dim", "warn": "yellow", "fail": "bold red"}


def examine_request(options: argparse.Namespace) -> int:
    """Examine the run that `options` ask for, and print a table, or JSON.

    Raises:
        RunFailedError: a check failed.
    """
    with tempfile.TemporaryDirectory(prefix="densedistill-") as nowhere, naming_failures(None):
        diagnosis = diagnose(options, Path(nowhere))
    if options.json:
        print(json.dumps(diagnosis.plain(), indent=2, allow_nan=False))
    else:
        show(diagnosis, Console())
    failed = diagnosis.of("fail")
    if failed:
        names = ", ".join(f"{finding.check} ({finding.subject})" for finding in failed)
        raise RunFailedError(f"{len(failed)} of {len(diagnosis.findings)} checks failed: {names}.")
    return 0


def diagnose(options: argparse.Namespace, nowhere: Path) -> Diagnosis:
    """Examine the run that `options` ask for; `nowhere` is an empty folder, in place of a run's."""
    asked = request(options)
    resolved = asked.resolve()
    return examine(DoctorChain(load_parts(resolved, folder=asked.folder() or nowhere)))


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Print a row for each check, then the remedies of those that did not pass."""
    table = Table("", "check", "of", "what was found", title=f"{len(diagnosis.findings)} checks")
    for finding in diagnosis.findings:
        table.add_row(f"[{STYLES[finding.status]}]{finding.status}[/]", finding.check, finding.subject, finding.text)
    console.print(table)
    for finding in diagnosis.of("warn", "fail"):
        console.print(_remedy(finding), markup=False, highlight=False, soft_wrap=True)
    console.print(f"{diagnosis.status}, in {diagnosis.seconds:.1f} s", highlight=False)


def _remedy(finding: Finding) -> str:
    return f"{finding.status}: {finding.check} ({finding.subject}): {finding.remedy}"
