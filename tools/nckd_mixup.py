"""Measure what Mixup does to the variance of DKD's non-target gradient, on a run's student and teacher.

Reference 000 explains the collapse of DKD by a variance that Mixup adds to this gradient and leaves the proof to do.
The closed form says what mixing does if logits mix as pixels do; the measurement what networks do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded

EXAMPLES = """examples:
  python tools/nckd_mixup.py --run RUN                         the last student, its teacher, 512 validation images
  python tools/nckd_mixup.py --run RUN --arm gen_02_scratch --teacher gen_01 --temperature 4 --json
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="nckd_mixup.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--run", required=True, metavar="DIR", help="a run's folder (classification)")
    command.add_argument("--arm", metavar="NAME", help="the student (default: the last distilled generation)")
    command.add_argument("--teacher", metavar="NAME", help="the teaching arm (default: the student's own)")
    command.add_argument("--images", type=int, default=512, metavar="N", help="of the validation part (default: 512)")
    command.add_argument("--draws", type=int, default=8, metavar="N", help="values of λ for each pair (default: 8)")
    command.add_argument("--beta", type=float, default=0.8, metavar="C", help="λ ~ Beta(C, C) (default: 0.8)")
    command.add_argument("--temperature", type=float, default=4.0, metavar="T", help="(default: 4)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of images, pairs and λ")
    command.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda, cuda:N, mps")
    command.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else there")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)

    def work() -> int:
        from densedistill.tools import nckd_mixup_actions

        return nckd_mixup_actions.measure(options)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
