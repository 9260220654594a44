"""Distil a vision network into a smaller one: teacher, students and their controls from one command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from densedistill.tools.cli import guarded

LISTS = ("tasks", "presets", "networks", "methods", "datasets")
EXAMPLES = """examples:
  python tools/distill.py --task sr                      super-resolution on embedded photographs
  python tools/distill.py --task cls --generations 3     teacher, student and a smaller student, each with its control
  python tools/distill.py --task edges --preset paper --data-root DATA     the reference recipe on BSDS500
  python tools/distill.py --task cls --data imagefolder --data-root DIR    your own images, a folder for each class
  python tools/distill.py --resume --out RUN             go on after an interruption
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="distill.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    run = add_request(command)
    run.add_argument("--no-doctor", action="store_true", help="train a long run without its examination first")
    show = command.add_argument_group("looking without running")
    show.add_argument("--list", nargs="?", const="all", choices=(*LISTS, "all"), help="what there is")
    show.add_argument("--print-config", action="store_true", help="print the resolved configuration as YAML")
    show.add_argument("--dry-run", action="store_true", help="build every arm, take two steps, report memory and time")
    return command


def add_request(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the flags that say what to run, which several commands have; returns the last group."""
    what = command.add_argument_group("what to distil")
    what.add_argument("--task", metavar="NAME", help="a registered task: cls, sr, edges, seg, or a plugin's")
    what.add_argument("--preset", metavar="NAME", help="demo (default: embedded data, no network), paper, ...")
    what.add_argument("--generations", type=int, metavar="N", help="1: teacher alone; 2 (default): and a student; ...")
    what.add_argument("--method", metavar="NAME", help="distillation method, where the task has several")
    what.add_argument("--controls", metavar="LIST", help="arms beside the chain: scratch (default), direct, none")
    what.add_argument("--plugin", action="append", default=[], metavar="FILE", help="load outside tasks first")
    data = command.add_argument_group("data")
    data.add_argument("--data", metavar="NAME", help="data set; --list datasets shows them")
    data.add_argument("--data-root", metavar="DIR", help="where it lies (also DENSEDISTILL_DATA)")
    networks = command.add_argument_group("networks")
    networks.add_argument("--teacher", metavar="NAME", help="in place of the task's teacher, e.g. timm/resnet50")
    networks.add_argument("--student", metavar="NAME", help="in place of the task's student")
    networks.add_argument("--students", metavar="LIST", help="several, side by side: they share one teacher pass")
    networks.add_argument("--teacher-size", type=int, metavar="N", help="the teacher's input in pixels; cls")
    networks.add_argument("--teacher-weights", metavar="FILE", help="safetensors or .pth: the teacher is not trained")
    networks.add_argument("--student-weights", metavar="FILE", help="safetensors or .pth to start the student from")
    networks.add_argument(
        "--pretrained", choices=("auto", "required", "none"), help="provider's weights (auto: where they can be had)"
    )
    training = command.add_argument_group("training")
    training.add_argument("--epochs", type=int, metavar="N", help="for every arm")
    training.add_argument("--batch-size", type=int, metavar="N", help="images in a step, over all processes")
    training.add_argument("--seed", type=int, metavar="N")
    training.add_argument("--device", metavar="NAME", help="auto (default), cpu, cuda, cuda:N, mps")
    training.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), help="auto: bf16 where it is native")
    training.add_argument("--teacher-cache", type=int, metavar="N", help="keep teacher outputs for N views per image")
    training.add_argument("--exact", action="store_true", help="fp32 and none of the shortcuts of the fast path")
    training.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any field: recipe.epochs=3, method.alpha=0.5"
    )
    training.add_argument("--config", metavar="FILE", help="repeat the run that wrote this config.yaml")
    run = command.add_argument_group("the run")
    run.add_argument("--out", metavar="DIR", help="run folder (default: runs/TASK/TIME-PRESET)")
    run.add_argument("--resume", action="store_true", help="go on after an interruption (--out, or the latest run)")
    run.add_argument("--track", metavar="LIST", help="tensorboard (default), wandb, mlflow, none")
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    command = ["python", "tools/distill.py", *given]

    def work() -> int:
        from densedistill.tools import distill_actions

        if options.list:
            return distill_actions.show_list(options.list, options.plugin)
        if options.print_config:
            return distill_actions.print_config(options)
        if options.dry_run:
            return distill_actions.dry_run(options)
        return distill_actions.run(options, command)

    if not given:
        parser().print_help()
        return 0
    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
