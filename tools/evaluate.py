"""Score an arm of a finished run again, or anybody's predictions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded

EXAMPLES = """examples:
  python tools/evaluate.py --run RUN                          the last student on the run's main test set
  python tools/evaluate.py --run RUN --arm gen_01 --split val --json
  python tools/evaluate.py --run RUN --data folder --data-root DIR --json    other images than the run's own
  python tools/evaluate.py --task sr --predictions DIR --data folder --data-root DIR_OF_HR --scale 4 --json
  python tools/evaluate.py --task edges --predictions DIR --data bsds500 --split test --json     ODS, OIS, AP, Dice
  python tools/evaluate.py --task edges --predictions DIR --data bsds500 --nms        of maps with thick boundaries
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="evaluate.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", metavar="DIR", help="a run's folder")
    what.add_argument("--predictions", metavar="DIR", help="images that any method made, as ID.png; needs --task")
    command.add_argument("--arm", metavar="NAME", help="arm of the run (default: the last distilled generation)")
    command.add_argument("--task", metavar="NAME", help="the task of --predictions: sr, edges")
    command.add_argument("--data", metavar="NAME", help="a test set of the run, or another data set")
    command.add_argument(
        "--data-root",
        metavar="DIR",
        help="where the data lies (also DENSEDISTILL_DATA); without --data it is the run's own data, moved there",
    )
    command.add_argument("--split", choices=("test", "val"), default="test")
    command.add_argument(
        "--tta",
        nargs="?",
        const="",
        metavar="KIND",
        help="also average over views of each image, reported apart from the plain figures "
        "(cls: flip, shift; sr: self-ensemble, flip; edges: flip, scales; seg: flip)",
    )
    command.add_argument("--scale", type=int, metavar="N", help="of --predictions for sr (default: 4)")
    command.add_argument(
        "--nms",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="edges: suppress what is no crest of a map before the benchmark (default: as the run's data options say; "
        "--predictions are taken as they are)",
    )
    command.add_argument(
        "--thin",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="edges: thin each thresholded map, as the benchmark does (default)",
    )
    command.add_argument("--curve", metavar="FILE", help="edges: draw precision over recall as FILE.png, .svg or .pdf")
    command.add_argument("--device", default="auto", metavar="NAME", help="for --run: auto (default), cpu, cuda, mps")
    command.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else there")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)

    def work() -> int:
        from densedistill.tools import evaluate_actions

        return evaluate_actions.evaluate(options)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
