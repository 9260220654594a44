"""Every figure of docs/performance.md in one command: benchmarks of the reference pairs, and a projected chain.

Resumable: what is already in the output folder is not measured again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from densedistill.tools.cli import guarded
from densedistill.tools.messages import say

_BENCHMARK = Path(__file__).with_name("benchmark.py")
_CLS = ("--task", "cls", "--teacher", "timm/resnet101", "--student", "timm/mobilenetv2_100", "--image-size", "32")
_CIFAR = ("--task", "cls", "--teacher", "cifar/resnet32x4", "--student", "cifar/resnet8x4", "--image-size", "32")
_SR = ("--task", "sr", "--teacher", "swinir-s", "--student", "attention-sr", "--image-size", "40", "--batch-size", "8")

_INT8 = ("--set", "speed.int8_teacher=true")

BENCHMARKS: Mapping[str, tuple[str, ...]] = {
    "resnet101-mobilenetv2-64": (*_CLS, "--batch-size", "64"),
    "resnet101-mobilenetv2-128": (*_CLS, "--batch-size", "128"),
    "resnet101-mobilenetv2-64-int8": (*_CLS, "--batch-size", "64", "--rows", "plain,timm,ours", *_INT8),
    "resnet101-three-mobilenetv2-64": (*_CLS, "--batch-size", "64", "--rows", "student,teacher,three_students"),
    "resnet32x4-resnet8x4-64": (*_CIFAR, "--batch-size", "64"),
    "unet-256": ("--task", "edges", "--image-size", "256"),
    "swinir-attentionsr-40": _SR,
}
"""Options of benchmark.py by the name of what they measure."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(prog="performance.py", description=__doc__)
    command.add_argument("--out", metavar="DIR", required=True, help="folder for the figures, JSON each")
    command.add_argument("--only", metavar="LIST", help=f"of: {', '.join((*BENCHMARKS, 'chain'))}")
    command.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of each benchmark (5)")
    command.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda, cuda:N")
    command.add_argument("--images", type=int, default=50_000, metavar="N", help="of the projected chain (50000)")
    command.add_argument("--epochs", type=int, default=200, metavar="N", help="of the projected chain (200)")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    return guarded(lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    from densedistill.distill.errors import RequestError, unknown_name
    from densedistill.distill.machine.runtime import resolve_device

    known = (*BENCHMARKS, "chain")
    wanted = known if options.only is None else tuple(options.only.split(","))
    for name in wanted:
        if name not in known:
            raise RequestError(unknown_name("figure", name, known))
    device, folder = resolve_device(options.device), Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        if name not in BENCHMARKS or (folder / f"{name}.json").is_file():
            continue
        if device.type != "cpu" and set(_INT8) <= set(BENCHMARKS[name]):
            say(f"{name} is left out: an int8 teacher runs on a CPU only.")
        else:
            _benchmark(name, folder, options)
    chain = _project(folder, options) if "chain" in wanted else None
    print(markdown(folder, wanted, chain))
    return 0


def _benchmark(name: str, folder: Path, options: argparse.Namespace) -> None:
    """One benchmark in a process of its own: peaks of memory do not add up, and an interruption costs one.

    Raises:
        RunFailedError: the process failed; it has said why.
    """
    from densedistill.distill.errors import RunFailedError

    unfinished = folder / f"{name}.unfinished.json"
    command = [sys.executable, str(_BENCHMARK), *BENCHMARKS[name], "--rounds", str(options.rounds)]
    print(f"{name}: python tools/benchmark.py {' '.join(BENCHMARKS[name])}", file=sys.stderr)
    done = subprocess.run([*command, "--device", options.device, "--json", str(unfinished)], check=False)
    if done.returncode:
        raise RunFailedError(f"{name} failed, see above; the same command goes on.")
    unfinished.replace(folder / f"{name}.json")


def _project(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from densedistill.tools.projection import ProjectedChain, project

    asked = ProjectedChain(images=options.images, epochs=options.epochs, device=options.device)
    return project(asked, folder / "chain")


def markdown(folder: Path, names: Sequence[str], chain: Mapping[str, Any] | None) -> str:
    """The measured figures as Markdown tables; of what was left out there is none."""
    from densedistill.distill.files import read_json

    parts = []
    for name in names:
        if name in BENCHMARKS and (folder / f"{name}.json").is_file():
            parts.append(_rows(name, read_json(folder / f"{name}.json")))
    if chain is not None:
        parts.append(_chain(chain))
    return "\n\n".join(parts)


def _rows(name: str, document: Mapping[str, Any]) -> str:
    lines = [
        f"### {name}",
        "",
        "| row | images/s (slowest to fastest) | of plain | of floor | of peak | memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        spread = f"{row['slowest_images_per_second']:.1f} to {row['fastest_images_per_second']:.1f}"
        plain, floor = (f"{value:.2f}" if value else "" for value in (row["over_plain"], row["over_floor"]))
        lines.append(
            f"| {row['name']} | {row['images_per_second']:.1f} ({spread}) | {plain} | {floor} | "
            f"{row['share_of_peak']:.0%} | {row['peak_memory_mb']:.0f} |"
        )
    known = {key: value for key, value in document["ratios"].items() if value is not None}
    lines += ["", "; ".join(f"{key.replace('_', ' ')} {value:.2f}" for key, value in known.items())]
    return "\n".join(lines)


def _chain(chain: Mapping[str, Any]) -> str:
    asked = chain["asked"]
    lines = [
        f"### Projected: {asked['generations']} generations of {asked['epochs']} epochs on {asked['images']:,} images",
        "",
        "| arm | network | images/s | epoch, s | projected, min |",
        "|---|---|---|---|---|",
    ]
    for name, arm in chain["arms"].items():
        lines.append(
            f"| {name} | {arm['network']} | {arm['images_per_second']:.0f} | {arm['epoch_seconds']:.1f} | "
            f"{arm['projected_seconds'] / 60:.1f} |"
        )
    return "\n".join([*lines, "", f"In all {chain['hours'] * 60:.1f} minutes, projected and not measured."])


if __name__ == "__main__":
    sys.exit(main())
