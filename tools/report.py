"""Write the report of a run, of several runs side by side, or of a study."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded

EXAMPLES = """examples:
  python tools/report.py RUN                          RUN/report.html, and its figures and tables beside it
  python tools/report.py runs/kd-0 runs/kd-1 runs/kd-2 --out kd.html     seeds and arms compared
  python tools/report.py STUDY                        STUDY/report.html: the answer, with its statistics
  python tools/report.py STUDY --markdown             the tables on stdout, ready to commit
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="report.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("folders", nargs="+", metavar="RUN|STUDY", help="folders of runs, or the folder of one study")
    command.add_argument(
        "--out",
        metavar="FILE|DIR",
        help="an .html file, or a folder for report.html (default: the study's or the one run's folder, else here)",
    )
    command.add_argument("--markdown", action="store_true", help="print the answer and the tables instead, as Markdown")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)

    def work() -> int:
        from densedistill.tools import report_actions

        return report_actions.report(options)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
