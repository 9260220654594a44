"""Check a run before it starts: its data, its teacher, its losses and what it will take; each fault with its remedy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded
from densedistill.tools.distill import add_request

EXAMPLES = """examples:
  python tools/doctor.py --task cls
  python tools/doctor.py --task cls --data cifar100 --data-root DIR --teacher-weights FILE     and the teacher's figure
  python tools/doctor.py --task edges --preset paper --data-root DIR --json

Nothing is trained and nothing is written: steps are taken on copies that are thrown away. With --out RUN the finished
arms of that run are taken into account: its teacher is measured, and compared with the student's scratch arm.

Exit status: 0, every check passed or only warned; 2, the request is wrong; 3, a check failed.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="doctor.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_request(command)
    command.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else there")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)

    def work() -> int:
        from densedistill.tools import doctor_actions

        return doctor_actions.examine_request(options)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
