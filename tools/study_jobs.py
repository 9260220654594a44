"""Further processes of a study on this machine: the same command, each with its share of the processor."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from densedistill.distill.study.storage import hidden

PATIENCE_SECONDS = 60
"""How long a helper that was told to stop may take to save its state."""


class Helpers:
    """`count` processes that work on the study beside this one. Leaving waits for them; an error stops them."""

    def __init__(self, given: Sequence[str], count: int, logs: Path, say: Callable[[str], None]) -> None:
        self.given, self.count, self.logs, self.say = list(given), max(count, 0), logs, say
        self._processes: list[subprocess.Popen[bytes]] = []
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> Helpers:
        if self.count:
            import torch

            threads = max((os.cpu_count() or 1) // (self.count + 1), 1)
            torch.set_num_threads(threads)
            self._start({**os.environ, "OMP_NUM_THREADS": str(threads)})
        return self

    def _start(self, environment: dict[str, str]) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "densedistill.tools.study", *helper_words(self.given), "--helper"]
        for place in range(1, self.count + 1):
            # Kept open for as long as the process writes to it.
            file = (self.logs / f"process-{place}.log").open("ab")
            self._files.append(file)
            self._processes.append(
                # Out of the terminal's reach: Ctrl-C would reach it beside our own signal, and two stop it unsaved.
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    env=environment,
                    start_new_session=True,
                )
            )
        self.say(f"{self.count + 1} processes; what the others say is in {self.logs}")

    def _stop(self) -> None:
        """Tell all at once, so that they save their states side by side."""
        for process in self._processes:
            process.terminate()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._stop()
            for process in self._processes:
                # One that does not end in time is killed below: what stopped the study matters more than that.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=None if error is None else PATIENCE_SECONDS)
        finally:
            for process in self._processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            for file in self._files:
                file.close()


def recorded_words(given: Sequence[str]) -> list[str]:
    """The command line that a study's record names: without what only its processes tell each other, or passwords."""
    kept = [word for word in given if word != "--helper"]
    return [hidden(word) if "://" in word else word for word in kept]


def helper_words(given: Sequence[str]) -> list[str]:
    """The command line `given` without `--jobs` and `--retry-failed`, which the first process sees to."""
    kept: list[str] = []
    skip = False
    for word in given:
        if skip or word.startswith("--jobs=") or word == "--retry-failed":
            skip = False
        elif word == "--jobs":
            skip = True
        else:
            kept.append(word)
    return kept
