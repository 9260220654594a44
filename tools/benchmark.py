"""Measure the distillation step: ours, other people's loops and the floor, in interleaved rounds of one run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded

EXAMPLES = """examples:
  python tools/benchmark.py --task cls --image-size 32 --batch-size 64      ResNet101 → MobileNetV2, the paper's pair
  python tools/benchmark.py --task edges --json edges.json      the preset's U-Net pair, views of 256 pixels
  python tools/benchmark.py --task sr --teacher swinir-s --student attention-sr --image-size 40 --batch-size 8
  python tools/benchmark.py --task cls --rows plain,floor --sweep batch=32,64,128
  python tools/benchmark.py --task cls --rows none --image-size 32 --sweep dataset=1k,10k,100k,1M --steps 2000

Every row has a process of its own; while one takes its steps all others are stopped. Figures are medians over rounds.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="benchmark.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = command.add_argument_group("what to measure")
    what.add_argument(
        "--task", required=True, metavar="NAME", help="a registered task: cls, sr, edges, seg, or a plugin's"
    )
    what.add_argument("--preset", metavar="NAME", help="recipe, method and networks (default: paper, where there is)")
    what.add_argument("--method", metavar="NAME", help="distillation method, where the task has several")
    what.add_argument("--teacher", metavar="NAME", help="in place of the preset's teacher, e.g. timm/resnet101")
    what.add_argument("--student", metavar="NAME", help="in place of the preset's student")
    what.add_argument("--batch-size", type=int, metavar="N", help="images in a step")
    what.add_argument("--image-size", type=int, metavar="N", help="side of a view in pixels (sr: of its input)")
    what.add_argument("--plugin", action="append", default=[], metavar="FILE", help="load outside tasks first")
    what.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any field: data.flip=false, method.alpha=0.5"
    )
    data = command.add_argument_group("data")
    data.add_argument(
        "--data", choices=("synthetic", "preset"), default="synthetic", help="random images in memory, or the preset's"
    )
    data.add_argument("--images", type=int, metavar="N", help="images of the synthetic set (default: 64 MiB)")
    data.add_argument("--classes", type=int, default=100, metavar="N", help="classes of the synthetic set (100)")
    data.add_argument("--workers", type=int, default=2, metavar="N", help="loading processes of the plain row (2)")
    how = command.add_argument_group("how to measure")
    how.add_argument("--rows", metavar="LIST", help="comma-separated (default: all that the task can have), or none")
    how.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that count (5)")
    how.add_argument("--steps", type=int, default=10, metavar="N", help="optimiser steps of a row in a round (10)")
    how.add_argument("--warmup", type=int, default=3, metavar="N", help="steps before the first round (3)")
    how.add_argument("--no-compile", action="store_true", help="nothing is compiled, in any row")
    how.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda, cuda:N, mps")
    how.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="of the fast rows")
    how.add_argument(
        "--sweep", action="append", default=[], metavar="SIZE=LIST", help="cost against batch, image, workers, dataset"
    )
    how.add_argument("--folder", metavar="DIR", help="where sweeps over dataset keep their images (default: temporary)")
    how.add_argument("--json", metavar="FILE", help="also write the figures there")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)

    def work() -> int:
        from densedistill.tools import benchmark_actions

        return benchmark_actions.benchmark(options, ["python", "tools/benchmark.py", *given])

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
