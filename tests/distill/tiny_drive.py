"""A driver in a process of its own: one chain without interruption, and one killed again and again.

Usage: tiny_drive.py KIND WHOLE KILLED KILLS SEED. The chain in the folder WHOLE ends undisturbed; the one in the folder
KILLED gets KILLS times SIGKILL and goes on each time. Prints which arms were finished at each kill.

Moments are counted in Python calls, not in seconds, so that a slow machine does not change them: a kill may come at
any call of the training, in the middle of writing a file too. Each attempt is a fork: libraries are imported once.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import tiny_task
import torch

from densedistill.distill.lessons import checkpoint, training
from densedistill.distill.run_dir import RunDir

SETTINGS = {
    "recipe.epochs": 3,
    "data.images": 24,
    "recipe.ema_decay": 0.8,
    "recipe.clip_norm": 0.5,
    "recipe.schedule": "plateau",
    "recipe.plateau_patience": 0,
    "recipe.early_stopping": {"monitor": "loss", "patience": 2},
}


class Calls:
    """Counts calls from an arm's first step on, and ends the process at call `last`."""

    def __init__(self, last: int | None) -> None:
        self.last, self.count = last, 0

    def begin(self) -> None:
        """Count from now on."""
        sys.setprofile(self._note)

    def _note(self, _frame: FrameType, event: str, _argument: Any) -> None:
        self.count += event == "call"
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def attempt(kind: str, out: Path, last: int | None, told: int) -> int:
    """Run the chain in a child, whose number of calls goes to the pipe `told`; the child's wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        calls = Calls(last)
        chain = tiny_task.tiny_chain(tiny_task.tiny_spec(kind), out, SETTINGS)
        restore = training.ArmTraining.restore

        def restoring(arm: training.ArmTraining) -> None:
            restore(arm)
            calls.begin()

        training.ArmTraining.restore = restoring  # type: ignore[method-assign]
        chain.run()
        sys.setprofile(None)
        os.write(told, str(calls.count).encode())
        status = 0
    finally:
        os._exit(status)


def main(kind: str, whole: Path, killed: Path, kills: int, seed: int) -> None:
    """Run both chains and print what happened as JSON."""
    torch.set_num_threads(1)
    # What a first run imports on its way, imported here once and not by each child.
    importlib.import_module("torch._dynamo")
    tiny_task.tiny_spec("cls")
    gc.freeze()
    checkpoint.SAVE_AFTER_SECONDS, checkpoint.SAVE_COST_BOUND = 0.0, 1e9
    source, told = os.pipe()
    first = attempt(kind, whole, None, told)
    length = int(os.read(source, 100)) if first == 0 else 0
    moments, ends, done = random.Random(seed), [], []
    for _ in range(kills):
        # No part is longer than its share of the whole: however many calls the code makes, the last kill comes in time.
        status = attempt(kind, killed, moments.randrange(length // 24, length // kills), told)
        ends.append(os.WTERMSIG(status))
        done.append(RunDir(killed).arms())
    last = attempt(kind, killed, None, told)
    print(json.dumps({"whole": first, "kills": ends, "done": done, "last": last}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
