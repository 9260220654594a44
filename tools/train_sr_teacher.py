"""Train a super-resolution teacher, and write it as half-precision safetensors with the figures it reaches.

The same command goes on where an interrupted one stopped; a finished one only writes the file again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded

EXAMPLES = """examples:
  python tools/train_sr_teacher.py --data-root DATA --out runs/sr/swinir-s-x4 --export swinir-s-x4.safetensors
  python tools/distill.py --task sr --preset study --data-root DATA --teacher swinir-s \\
      --teacher-weights swinir-s-x4.safetensors

The default is the lightweight SwinIR (0.93 M parameters, 1.9 MB in half precision) at x4 on T91 and BSDS500 train,
tested on Set5 and B100: 200 epochs of 1,000 steps, which wants a GPU.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="train_sr_teacher.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--out", required=True, metavar="DIR", help="the run's folder, also to go on in")
    command.add_argument("--export", required=True, metavar="FILE", help="the .safetensors file to write")
    command.add_argument("--network", default="swinir-s", metavar="NAME", help="a network's name (swinir-s)")
    command.add_argument("--scale", type=int, default=4, choices=(2, 3, 4), help="enlargement (4)")
    command.add_argument("--data", default="folder", metavar="NAME", help="folder (default) or photos")
    command.add_argument("--data-root", metavar="DIR", help="where the data lies (also DENSEDISTILL_DATA)")
    command.add_argument("--epochs", type=int, default=200, metavar="N", help="of --steps each (200)")
    command.add_argument("--steps", type=int, default=1000, metavar="N", help="in an epoch (1000)")
    command.add_argument("--batch-size", type=int, default=32, metavar="N", help="patches in a step (32)")
    command.add_argument("--patch", type=int, default=48, metavar="N", help="side of a patch's input in pixels (48)")
    command.add_argument("--seed", type=int, default=0, metavar="N")
    command.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda, cuda:N, mps")
    command.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any field, as in distill.py")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)

    def work() -> int:
        from densedistill.tools import train_sr_teacher_actions

        return train_sr_teacher_actions.train(options)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
