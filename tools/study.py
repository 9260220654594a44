"""Answer a question by training: arms, grids and seeds, shared by any number of processes, resumed after a stop."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded

EXAMPLES = """examples:
  python tools/study.py --list                                      the built-in studies
  python tools/study.py --study capacity --preset demo --out OUT    on embedded data, minutes on two cores
  python tools/study.py --study my.yaml --dry-run                   the arms of your own study, and the time they take
  python tools/study.py --study my.yaml --out OUT --jobs 2          two processes; the same command again goes on
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="study.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--study", metavar="NAME|FILE", help="a built-in study, or a YAML file")
    command.add_argument("--preset", metavar="NAME", help="size of a built-in study: demo (default) or paper")
    command.add_argument("--out", metavar="DIR", help="study folder (default: runs/studies/NAME-PRESET)")
    command.add_argument(
        "--storage", metavar="URL", help="database URL or journal:FILE, shared by machines (default: OUT/optuna.db)"
    )
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    command.add_argument("--seeds", metavar="LIST", help="in place of the study's, e.g. 0,1,2,3,4")
    command.add_argument("--teacher-weights", metavar="FILE", help="a published teacher for all arms: none is trained")
    command.add_argument("--data-root", metavar="DIR", help="where data sets lie (also DENSEDISTILL_DATA)")
    command.add_argument("--device", metavar="NAME", help="auto (default), cpu, cuda, cuda:N, mps")
    command.add_argument("--retry-failed", action="store_true", help="run trials again that have failed for good")
    # One of the processes that --jobs starts: it works, and leaves the report to the first.
    command.add_argument("--helper", action="store_true", help=argparse.SUPPRESS)
    command.add_argument("--list", action="store_true", help="the built-in studies with their questions")
    command.add_argument("--print-study", action="store_true", help="the study as YAML, to change and run as a file")
    command.add_argument(
        "--dry-run", action="store_true", help="list the arms, take two steps of each, estimate the time"
    )
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)

    def work() -> int:
        from densedistill.tools import study_actions

        if options.list:
            return study_actions.show_list()
        if options.print_study:
            return study_actions.print_study(options)
        if options.dry_run:
            return study_actions.dry_run(options)
        return study_actions.run(options, given)

    if not given:
        parser().print_help()
        return 0
    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
