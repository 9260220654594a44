"""Cost against the number of images on disk: opening the set, loading it, and training on it."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from densedistill.datasets.classification import ClassificationData
from densedistill.distill.errors import RequestError
from densedistill.tools.benchmark_engine import student
from densedistill.tools.benchmark_folder import image_folder
from densedistill.tools.benchmark_machine import seconds_of
from densedistill.tools.benchmark_process import Process
from densedistill.tools.benchmark_request import BenchmarkRequest, Rounds
from densedistill.tools.benchmark_workload import Workload, prepare

_LOOKS = 10
"""How often memory is looked at in a measurement."""
_SIZE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetPoint:
    """What a set of `value` images costs."""

    value: int
    open_seconds: float
    """Listing, fingerprint and split. This does grow with the set: every file is listed once."""
    first_batch_seconds: float
    """From asking for batches to the first one: what starting the loading processes takes."""
    loader_images_per_second: float
    """Loading alone, from the second batch on."""
    images_per_second: float
    """Loading and the student's steps."""
    seconds_per_step: float
    loader_memory_mb: float
    peak_memory_mb: float
    """With the student's steps. Both of this process and its loading processes together; what they share counts once
    (proportional set size)."""


def sweep_dataset(
    values: tuple[int, ...], request: BenchmarkRequest, rounds: Rounds, folder: Path | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure sets of so many images, each in a process of its own; `rounds.steps` batches of each.

    Raises:
        RequestError: there is no room for the sets, or they are too small.
    """
    points = []
    with contextlib.ExitStack() as stack:
        root = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="densedistill-images-")))
        for value in values:
            say(f"dataset {value}: making the folder")
            made = image_folder(root, value, request.image_size or _SIZE, request.classes)
            with Process(f"dataset {value}", _drive_point, on_disk(request, made), rounds, value) as process:
                point: DatasetPoint = process.receive()
            say(f"dataset {value}: {point.images_per_second:.1f} images/s, {point.peak_memory_mb:.0f} MiB")
            points.append(asdict(point))
    return {"over": "dataset", "points": points}


def require_labelled(workload: Workload) -> None:
    """RequestError where the task's data are no labelled images: those alone are made for sweeps."""
    if not isinstance(workload.resolved.options, ClassificationData):
        task = workload.resolved.spec.name
        raise RequestError(f"--sweep dataset is for labelled images, and task '{task}' has none: leave it out.")


def on_disk(request: BenchmarkRequest, folder: Path) -> BenchmarkRequest:
    """`request` on the image folder, none of which is held in memory, so that small and large sets compare."""
    data = (
        ("data.name", "imagefolder"),
        ("data.root", str(folder.absolute())),
        ("data.input_size", request.image_size or _SIZE),
        ("data.workers", request.workers),
        ("data.memory_budget_mb", 0),
    )
    return replace(request, synthetic=False, settings=(*data, *request.settings))


def measure_point(request: BenchmarkRequest, rounds: Rounds, value: int) -> DatasetPoint:
    """Open the set, load `rounds.steps` batches of it, then take as many steps of the student."""
    started = time.perf_counter()
    workload = prepare(request)
    opened = time.perf_counter() - started
    first, loading, memory = _load(workload, rounds.steps)
    with contextlib.closing(student(workload)) as row:
        row.steps(rounds.warmup)
        look = Look()
        seconds = 0.0
        for part in _parts(rounds.steps):
            seconds += seconds_of(lambda count=part: row.steps(count), workload.device)  # type: ignore[misc]
            look.take()
    return DatasetPoint(
        value=value,
        open_seconds=opened,
        first_batch_seconds=first,
        loader_images_per_second=(rounds.steps * workload.batch_size) / loading,
        images_per_second=rounds.steps * workload.batch_size / seconds,
        seconds_per_step=seconds / rounds.steps,
        loader_memory_mb=memory,
        peak_memory_mb=look.highest,
    )


class Look:
    """The highest memory of a process and its children that was seen."""

    def __init__(self) -> None:
        self.highest = 0.0

    def take(self) -> None:
        """Look once."""
        self.highest = max(self.highest, family_megabytes())


def family_megabytes() -> float:
    """MiB of this process and those it started; pages that several share count once where the system can tell."""
    total = 0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.uss)
    return total / 2**20


def dataset_table(sweep: Mapping[str, Any]) -> Table:
    """Cost against the number of images."""
    table = Table("images", title="cost over dataset, from disk")
    for heading in ("open", "first batch", "loader images/s", "images/s", "s/step", "loader memory", "memory"):
        table.add_column(heading, justify="right")
    for point in sweep["points"]:
        table.add_row(
            f"{point['value']:,}",
            f"{point['open_seconds']:.1f} s",
            f"{point['first_batch_seconds']:.2f} s",
            f"{point['loader_images_per_second']:.0f}",
            f"{point['images_per_second']:.1f}",
            f"{point['seconds_per_step']:.4f}",
            f"{point['loader_memory_mb']:.0f} MiB",
            f"{point['peak_memory_mb']:.0f} MiB",
        )
    return table


def _load(workload: Workload, count: int) -> tuple[float, float, float]:
    """Seconds to the first batch, seconds of `count` more, and the highest memory on the way."""
    look = Look()
    with contextlib.closing(workload.batches()) as batches:
        first = seconds_of(lambda: next(batches), workload.device)
        seconds = 0.0
        for part in _parts(count):
            wanted = itertools.islice(batches, part)
            seconds += seconds_of(lambda taken=wanted: sum(1 for _ in taken), workload.device)  # type: ignore[misc]
            look.take()
    return first, seconds, look.highest


def _parts(count: int) -> Iterator[int]:
    """`count` in up to ten parts."""
    edges = sorted({count * place // _LOOKS for place in range(_LOOKS + 1)})
    yield from (after - before for before, after in itertools.pairwise(edges))


def _drive_point(connection: Connection, request: BenchmarkRequest, rounds: Rounds, value: int) -> None:
    connection.send(measure_point(request, rounds, value))
