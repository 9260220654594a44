"""What the commands tell people on stderr: messages and a progress bar; stdout is for what was asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


def say(message: str) -> None:
    """A message to stderr."""
    print(f"densedistill: {message}", file=sys.stderr)


class Bar:
    """A progress bar over images."""

    def __init__(self, progress: Progress, images: int, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=images)

    def step(self) -> None:
        """One image more is done; from any thread."""
        self._progress.advance(self._task)

    def at(self, images: int) -> None:
        """So many images are done."""
        self._progress.update(self._task, completed=images)


@contextmanager
def bar(what: str, images: int) -> Iterator[Bar]:
    """A bar on stderr while images are worked on; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, images, what)
