"""What `evaluate.py` prints: figures to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from densedistill.distill.run_dir import SCHEMA


class Bar:
    """A progress bar over images."""

    def __init__(self, progress: Progress, images: int, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=images)

    def step(self) -> None:
        """One image more is done; from any thread."""
        self._progress.advance(self._task)


@contextmanager
def bar(what: str, images: int) -> Iterator[Bar]:
    """A bar on stderr while images are scored; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, images, what)


def say(message: str) -> None:
    """A message to stderr; stdout is for figures alone."""
    print(f"densedistill: {message}", file=sys.stderr)


def document(
    task: str,
    data: str,
    images: int,
    metrics: Mapping[str, float],
    per_image: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """The figures as contract.md has them, schema 1."""
    return {
        "schema": SCHEMA,
        "task": task,
        "data": data,
        "images": images,
        "metrics": dict(metrics),
        "per_image": {name: dict(figures) for name, figures in per_image.items()},
    }


def print_table(found: Mapping[str, Any]) -> None:
    """A document's figures over all images, for people."""
    table = Table("metric", "value", title=f"{found['task']}: {found['images']} images of {found['data']}")
    for name, value in found["metrics"].items():
        table.add_row(name, f"{value:.6g}")
    for name, value in found.get("tta", {}).get("metrics", {}).items():
        table.add_row(f"{name}, mean of {found['tta']['views']} views ({found['tta']['kind']})", f"{value:.6g}")
    Console().print(table)
