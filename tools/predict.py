"""Apply an arm of a finished run to images of your own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded

EXAMPLES = """examples:
  python tools/predict.py --run RUN --input photo.jpg scan.png --output DIR
  python tools/predict.py --run RUN --arm gen_01 --input FOLDER --output DIR --tta
  python tools/predict.py --run RUN --input FOLDER --output DIR --with-teacher

Classes are written to DIR/predictions.csv, the five best by label and score; maps and images to DIR/NAME.png, with
folders below FOLDER kept; maps of classes also over the image, in colours. Images are prepared as the run's evaluation
does it. Those too large for the memory are predicted in tiles that fade into each other.

Files are read by one rule: turned upright where EXIF says how; grayscale copied to three channels; transparency over
white; of 16 bits the high byte. A file that cannot be read, or is too small for the network, is named, all others are
done, and the exit status is 3.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="predict.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--run", required=True, metavar="DIR", help="a run's folder")
    command.add_argument("--arm", metavar="NAME", help="arm of the run (default: the last distilled generation)")
    command.add_argument("--input", required=True, nargs="+", metavar="PATH", help="image files, and folders of them")
    command.add_argument("--output", required=True, metavar="DIR", help="where to write; not a folder of the input")
    command.add_argument(
        "--with-teacher", action="store_true", help="also the arm's teacher: its predictions, and both side by side"
    )
    command.add_argument(
        "--tile",
        default="auto",
        metavar="N",
        help="predict images of more than NxN pixels in tiles of about that size (default: auto, by the memory needed)",
    )
    command.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="most images of one size at once (default: 16)"
    )
    command.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda, cuda:N, mps")
    command.add_argument(
        "--tta", nargs="?", const="", metavar="KIND", help="the mean over several views of each image, as evaluate.py"
    )
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)

    def work() -> int:
        from densedistill.tools import predict_actions

        return predict_actions.predict(options)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
