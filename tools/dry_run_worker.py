"""One preset's dry run in a process of its own, for `dry_runs.py`: TASK PRESET FILE [FLAGS of distill.py]."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from densedistill.tools.cli import guarded


def main(arguments: Sequence[str]) -> int:
    """Write the figures to FILE; returns the exit status."""
    task, preset, file, *flags = arguments

    def work() -> int:
        from densedistill.distill.files import write_json
        from densedistill.tools.distill import parser
        from densedistill.tools.distill_actions import try_arms

        config, precision, trials = try_arms(parser().parse_args(["--task", task, "--preset", preset, *flags]))
        arms = [dataclasses.asdict(trial) for trial in trials]
        plain = {"config": config.plain(), "precision": precision, "arms": arms}
        write_json(Path(file), {"schema": 1, "task": task, "preset": preset, "flags": flags, **plain})
        return 0

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
