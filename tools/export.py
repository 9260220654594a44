"""Write an arm of a finished run as a file that other runtimes read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded

EXAMPLES = """examples:
  python tools/export.py --run RUN --format onnx --out student.onnx
  python tools/export.py --run RUN --arm gen_01 --format onnx --out teacher.onnx --input-size 256 256

The graph takes `input` (batch, channels, height, width), which is (pixel in [0, 1] - mean) / std, and gives the
network's raw `output`: logits, or an image that is not clamped. Mean, deviation, classes and task are in the file's
metadata. The file is checked against PyTorch on ten images before it takes its name.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="export.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--run", required=True, metavar="DIR", help="a run's folder")
    command.add_argument("--arm", metavar="NAME", help="arm of the run (default: the last distilled generation)")
    command.add_argument("--format", choices=("onnx",), default="onnx")
    command.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    command.add_argument(
        "--input-size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="fix height and width (default: free for dense networks, the run's for classifiers)",
    )
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)

    def work() -> int:
        from densedistill.tools import export_actions

        return export_actions.export(options)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
