"""What `report.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from densedistill.distill.errors import RequestError
from densedistill.distill.report.page import write_report_and_files
from densedistill.distill.report.run_groups import read_runs
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_markdown import study_markdown
from densedistill.distill.report.study_page import write_comparison
from densedistill.distill.report.study_reading import is_study, read_study_facts


def report(options: argparse.Namespace) -> int:
    """Write the report, or print its tables."""
    folders = [Path(folder) for folder in options.folders]
    if options.markdown:
        sys.stdout.write(study_markdown(_read(folders)))
        return 0
    target = target_of(options.out, folders)
    if target.parent.exists() and not target.parent.is_dir():
        raise RequestError(f"--out '{target.parent}' is a file: give a folder, or a name that ends in .html.")
    if len(folders) == 1 and not is_study(folders[0]):
        write_report_and_files(folders[0], target)
    else:
        write_comparison(_read(folders), target)
    print(f"report: {target}")
    return 0


def target_of(out: str | None, folders: list[Path]) -> Path:
    """Where the page goes."""
    if out is None:
        return (folders[0] if len(folders) == 1 else Path()) / "report.html"
    path = Path(out)
    return path if path.suffix == ".html" else path / "report.html"


def _read(folders: list[Path]) -> StudyFacts:
    studies = [folder for folder in folders if is_study(folder)]
    if studies and len(folders) > 1:
        raise RequestError(f"'{studies[0]}' is a study: give it alone, or give folders of runs only.")
    return read_study_facts(folders[0]) if studies else read_runs(folders)
