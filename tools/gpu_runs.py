"""The two comparisons that need a GPU, in one resumable command: as much of them as the time allows.

First CIFAR's usual pair, ResNet32x4 → ResNet8x4, by KD and then by other methods with the same teacher; then the chain
ResNet101 → MobileNetV2 → 0.5 with all of its controls. Both on Tiny-ImageNet-100 at 32 pixels, which stands in for
CIFAR-100 (`--data cifar100` where it is to be had). The same command goes on where the last one stopped.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densedistill.tools.cli import guarded

_DISTILL = Path(__file__).with_name("distill.py")
_GRACE_SECONDS = 900
"""How long a run may take to save its state; evaluations in between are not cut short."""
_INTERRUPTED = (130, 143)


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A run by its flags."""

    name: str
    flags: tuple[str, ...]
    teacher_of: str | None = None
    """The run whose teacher it takes; it must be complete by then."""


def planned(methods: Sequence[str], seeds: Sequence[int]) -> tuple[Planned, ...]:
    """The runs in the order of their worth: a whole answer of one seed comes before a second seed.

    Teachers are trained once: what differs between seeds and methods is the student.
    """
    pair = ("--preset", "resnet32x4-resnet8x4")
    chain = ("--preset", "paper", "--generations", "3", "--controls", "scratch,direct")
    first = f"pair-{methods[0]}-{seeds[0]}"
    runs = []
    for seed in seeds:
        for method in methods:
            name = f"pair-{method}-{seed}"
            controls = () if method == methods[0] else ("--controls", "none")
            taught_by = None if name == first else first
            flags = (*pair, "--method", method, "--seed", str(seed), *controls)
            runs.append(Planned(name=name, flags=flags, teacher_of=taught_by))
        if seed == seeds[0]:
            runs.append(Planned(name=f"chain-{seed}", flags=(*chain, "--seed", str(seed))))
    return tuple(runs)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(prog="gpu_runs.py", description=__doc__)
    command.add_argument("--out", required=True, metavar="DIR", help="folder for the runs; the same one goes on")
    command.add_argument("--hours", type=float, default=24.0, metavar="H", help="time for this call (default: 24)")
    command.add_argument("--data", default="tiny-imagenet", metavar="NAME", help="data set (default: tiny-imagenet)")
    command.add_argument("--data-root", metavar="DIR", help="where it lies (also DENSEDISTILL_DATA)")
    command.add_argument("--methods", default="kd,dkd,crd,dist", metavar="A,B", help="of the pair (kd,dkd,crd,dist)")
    command.add_argument("--seeds", default="0,1,2", metavar="A,B", help="(default: 0,1,2)")
    command.add_argument("--device", default="cuda", metavar="NAME", help="cuda (default), cuda:N, cpu")
    command.add_argument("--quick", action="store_true", help="two steps of each arm (try --data photo-crops)")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    return guarded(lambda: _run_all(options))


def _run_all(options: argparse.Namespace) -> int:
    from densedistill.distill.errors import RequestError, RunFailedError
    from densedistill.distill.files import write_text

    seeds = options.seeds.split(",")
    if not all(seed.isdecimal() for seed in seeds) or options.hours <= 0:
        raise RequestError(f"--seeds {options.seeds} --hours {options.hours:g}: give whole numbers, and hours above 0.")
    folder, deadline = Path(options.out), time.monotonic() + 3600 * options.hours
    runs = planned(options.methods.split(","), [int(seed) for seed in seeds])
    failed = []
    for run in runs:
        if is_complete(folder / run.name):
            continue
        left = deadline - time.monotonic()
        if left <= 0:
            break
        status = attempt(run, folder, options, left)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "summary.md", summary(folder, [each.name for each in runs]))
        if status in _INTERRUPTED:
            break
        failed += [run.name] if status else []
    print(summary(folder, [each.name for each in runs]))
    if failed:
        raise RunFailedError(f"{', '.join(failed)} failed, see above; the same command tries again.")
    return 0


def attempt(run: Planned, folder: Path, options: argparse.Namespace, seconds: float) -> int:
    """Begin or go on with a run for at most `seconds`; returns its exit status, 143 where time was over."""
    words = command(run, folder, options)
    print(f"{run.name}: {' '.join(words[1:])}", file=sys.stderr)
    return awaited(start(words), seconds)


def start(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """A run in a process of its own: what one leaves on the device is gone before the next."""
    return subprocess.Popen(words)


def awaited(child: subprocess.Popen[bytes], seconds: float) -> int:
    """The exit status of a child that is told to save its state and end when its time is over.

    A terminal sends an interruption to the child as well as to us: then it is only waited for.
    """
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        print("interrupted: waiting for the run to save its state", file=sys.stderr)
    try:
        return child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return _INTERRUPTED[1]


def command(run: Planned, folder: Path, options: argparse.Namespace) -> list[str]:
    """The words that begin `run`, or go on with it."""
    out = folder / run.name
    words = [sys.executable, str(_DISTILL), "--task", "cls", *run.flags, "--data", options.data]
    words += ["--data-root", options.data_root] if options.data_root else []
    words += ["--device", options.device, "--pretrained", "none", "--out", str(out)]
    if run.teacher_of is not None:
        words += ["--teacher-weights", str(folder / run.teacher_of / "gen_01" / "model.safetensors")]
    if options.quick:
        words += ["--epochs", "1", "--batch-size", "4", "--set", "recipe.views_per_epoch=8"]
    return [*words, "--resume"] if (out / "config.yaml").is_file() else words


def is_complete(run: Path) -> bool:
    """Whether all arms of a run are done."""
    return bool(_result(run).get("complete", False))


def summary(folder: Path, names: Sequence[str]) -> str:
    """What is there, as a Markdown table: every finished arm with its figures and its training time."""
    lines = [
        "| run | arm | network | test | gap closed | of the teacher | epochs | training |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        result = _result(folder / name)
        lines += [_row(name, arm) for arm in result.get("arms", ())]
    waiting = [name for name in names if not is_complete(folder / name)]
    end = f"Not complete: {', '.join(waiting)}." if waiting else "All runs are complete."
    return "\n".join([*lines, "", end])


def _row(run: str, arm: Mapping[str, Any]) -> str:
    shares = ("–" if arm[key] is None else f"{arm[key]:.1%}" for key in ("gap_closed", "retention"))
    figures = (f"{arm['test']:.2f}", *shares, str(arm["epochs"]), f"{arm['seconds'] / 3600:.2f} h")
    return f"| {' | '.join((run, arm['arm'], arm['network'], *figures))} |"


def _result(run: Path) -> Mapping[str, Any]:
    from densedistill.distill.files import read_json

    file = run / "result.json"
    return read_json(file) if file.is_file() else {}


if __name__ == "__main__":
    sys.exit(main())
