"""Try many presets of a task: every network built, two steps of every arm taken, one table of epochs, memory and time.

What `distill.py --dry-run` does for one preset, each in a process of its own so that none of them holds another's
memory. Resumable: what is already in the output folder is not tried again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from densedistill.tools.cli import guarded

EXAMPLES = """examples:
  python tools/dry_runs.py --task cls --out DIR                              every preset, on its own data
  python tools/dry_runs.py --task cls --presets v2,v4 --out DIR -- --data tiny-imagenet --batch-size 4
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="dry_runs.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--task", required=True, metavar="NAME", help="a registered task")
    command.add_argument("--presets", metavar="A,B", help="presets (default: all of the task's)")
    command.add_argument("--out", required=True, metavar="DIR", help="folder for the figures, JSON each")
    command.add_argument("flags", nargs="*", metavar="FLAG", help="after --: flags of distill.py, for every preset")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    return guarded(lambda: _try_all(options))


def _try_all(options: argparse.Namespace) -> int:
    from densedistill.distill.errors import RequestError, unknown_name
    from densedistill.tasks import get

    known = get(options.task).presets
    wanted = tuple(known) if options.presets is None else tuple(options.presets.split(","))
    for name in wanted:
        if name not in known:
            raise RequestError(unknown_name(f"preset of task {options.task}", name, known))
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    failed = [name for name in wanted if not _tried(options.task, name, folder, options.flags)]
    print(markdown(folder, [name for name in wanted if name not in failed]))
    if failed:
        raise RequestError(f"no figures of {', '.join(failed)}: their messages stand above; give other flags after --")
    return 0


def _tried(task: str, preset: str, folder: Path, flags: Sequence[str]) -> bool:
    """Whether the preset's figures are there, once it was tried where they were not."""
    file = folder / f"{preset}.json"
    if not file.is_file():
        print(f"{preset}: python tools/distill.py --task {task} --preset {preset} --dry-run ...", file=sys.stderr)
        words = [sys.executable, "-m", "densedistill.tools.dry_run_worker", task, preset, str(file), *flags]
        subprocess.run(words, check=False)
    return file.is_file()


def markdown(folder: Path, presets: Sequence[str]) -> str:
    """The figures as one Markdown table, a row for each arm."""
    from densedistill.distill.files import read_json

    lines = [
        "| preset | arm, network | parameters | batch | epochs | s/step | training | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for preset in presets:
        for trial in read_json(folder / f"{preset}.json")["arms"]:
            lines.append(_row(preset, trial))
    return "\n".join(lines)


def _row(preset: str, trial: Mapping[str, Any]) -> str:
    from densedistill.distill import wording

    hours = trial["steps"] * trial["seconds_per_step"] / 3600
    cells = (
        f"`{preset}`",
        f"{trial['arm']}, {trial['network']}",
        f"{trial['params']:,}",
        " × ".join(map(str, trial["input"])),
        str(trial["epochs"]),
        f"{trial['seconds_per_step']:.2f}",
        f"{hours:.1f} h",
        wording.gibibytes(trial["memory_bytes"], digits=2),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
