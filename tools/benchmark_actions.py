"""What `benchmark.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from densedistill.distill.configuration.config import parse_setting
from densedistill.distill.errors import RequestError
from densedistill.distill.files import write_json
from densedistill.distill.machine.runtime import processor_name
from densedistill.tools.benchmark_dataset import dataset_table, require_labelled, sweep_dataset
from densedistill.tools.benchmark_folder import require_enough
from densedistill.tools.benchmark_machine import best_peak, count_operations, matrix_peak
from densedistill.tools.benchmark_measure import measure
from densedistill.tools.benchmark_report import (
    SCHEMA,
    Bound,
    bound_document,
    phases_table,
    ratios_table,
    rows_document,
    rows_table,
    sweep_table,
)
from densedistill.tools.benchmark_request import BenchmarkRequest, Rounds, Sweep, check_unique, parse_names, parse_sweep
from densedistill.tools.benchmark_rows import applicable
from densedistill.tools.benchmark_workload import STUDENT, TEACHER, Workload, prepare

_WIDTH = 122


def benchmark(options: argparse.Namespace, command: Sequence[str]) -> int:
    """Measure, print the tables, and write the document where one is asked for."""
    request = _request(options)
    rounds = Rounds(rounds=options.rounds, steps=options.steps, warmup=options.warmup)
    sweeps = [parse_sweep(text) for text in options.sweep]
    check_unique([sweep.axis for sweep in sweeps], "--sweep")
    _check_values(sweeps, request)
    asked = None if options.rows is None else parse_names(options.rows)
    with _writable(None if options.json is None else Path(options.json)) as target:
        _benchmark(request, rounds, sweeps, asked, target, options.folder, command)
    return 0


def _benchmark(
    request: BenchmarkRequest,
    rounds: Rounds,
    sweeps: Sequence[Sweep],
    asked: Sequence[str] | None,
    target: Path | None,
    folder: str | None,
    command: Sequence[str],
) -> None:
    workload = prepare(request)
    if any(sweep.axis == "dataset" for sweep in sweeps):
        require_labelled(workload)
    names = applicable(asked, workload)
    document: dict[str, Any] = {"schema": SCHEMA, "command": list(command), **_described(workload)}
    document |= _measured(names, request, rounds, workload)
    if names:
        _show(document)
    # What is measured is kept, whatever becomes of the sweeps still to come.
    _write(target, document)
    for sweep in sweeps:
        swept = _swept(sweep, names, request, rounds, None if folder is None else Path(folder))
        document["sweeps"] = [*document.get("sweeps", ()), swept]
        _write(target, document)
    if target is not None:
        _say(f"written to {target}")


def _check_values(sweeps: Sequence[Sweep], request: BenchmarkRequest) -> None:
    """RequestError where a value of a sweep is out of its bounds: known before the first is measured."""
    for sweep in sweeps:
        for value in sweep.values:
            if sweep.axis == "dataset":
                require_enough(value, request.classes)
            else:
                request.at(sweep.axis, value)


def _write(target: Path | None, document: dict[str, Any]) -> None:
    if target is not None:
        write_json(target, document)


def _measured(names: Sequence[str], request: BenchmarkRequest, rounds: Rounds, workload: Workload) -> dict[str, Any]:
    before = matrix_peak(workload.device)
    measured = measure(names, request, rounds, _say)
    bound = Bound(peak=best_peak(before, matrix_peak(workload.device)), operations=count_operations(workload))
    return {**rows_document(measured, bound), **bound_document(bound)}


def _swept(
    sweep: Sweep, names: Sequence[str], request: BenchmarkRequest, rounds: Rounds, folder: Path | None
) -> dict[str, Any]:
    """Every row at every value of a size; a data set's size has figures of its own."""
    if sweep.axis == "dataset":
        on_disk = sweep_dataset(sweep.values, request, rounds, folder, _say)
        _console().print(dataset_table(on_disk))
        return on_disk
    points = []
    for value in sweep.values:
        _say(f"{sweep.axis} {value}")
        there = request.at(sweep.axis, value)
        points.append({"value": value, **_measured(names, there, rounds, prepare(there))})
    swept = {"over": sweep.axis, "points": points}
    _console().print(sweep_table(swept))
    return swept


def _show(document: dict[str, Any]) -> None:
    console = _console()
    peaks = ", ".join(f"{name} {value:.2f}" for name, value in document["peak_tflops"].items())
    title = f"{document['teacher']} → {document['student']}, batch {document['batch_size']}"
    console.print(rows_table(document, title))
    if any(value is not None for value in document["ratios"].values()):
        console.print(ratios_table(document))
    phases = phases_table(document)
    if phases is not None:
        console.print(phases)
    console.print(f"matrix peak in TFLOP/s: {peaks}", soft_wrap=True)
    for row in document["rows"]:
        for note in row["notes"]:
            console.print(f"{row['name']}: {note}", soft_wrap=True)


def _described(workload: Workload) -> dict[str, Any]:
    """What was measured, and where."""
    config = workload.resolved.config
    batch = workload.sample(2)
    return {
        "task": config.task,
        "preset": config.preset,
        "method": config.method["name"],
        "methods": [method.name for method, _parameters in workload.resolved.methods],
        "teacher": workload.spec(TEACHER).name,
        "student": workload.spec(STUDENT).name,
        "batch_size": workload.batch_size,
        "input": list(batch["input"].shape[1:]),
        "data": {"name": workload.data.name, "images": len(workload.data.train)},
        "environment": {
            "torch": str(torch.__version__),
            "device": workload.device.type if workload.device.type == "cpu" else torch.cuda.get_device_name(),
            "processor": processor_name(),
            "threads": torch.get_num_threads(),
            "precision": workload.precision,
        },
    }


def _request(options: argparse.Namespace) -> BenchmarkRequest:
    return BenchmarkRequest(
        task=options.task,
        preset=options.preset,
        method=options.method,
        teacher=options.teacher,
        student=options.student,
        synthetic=options.data == "synthetic",
        image_size=options.image_size,
        classes=options.classes,
        images=options.images,
        batch_size=options.batch_size,
        workers=options.workers,
        compile=not options.no_compile,
        device=options.device,
        precision=options.precision,
        settings=tuple(parse_setting(text) for text in options.set),
        plugins=tuple(options.plugin),
    )


@contextmanager
def _writable(path: Path | None) -> Iterator[Path | None]:
    """`path`, where a file can be written there: known before minutes of measuring and not after.

    An empty file that was made to see it is removed again where nothing came to be written.
    """
    if path is None:
        yield None
        return
    made = not path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a"):
            pass
    except OSError as error:
        raise RequestError(f"--json {path} cannot be written ({error.strerror}): give another file.") from None
    try:
        yield path
    finally:
        if made and path.is_file() and not path.stat().st_size:
            path.unlink()


def _console() -> Console:
    """As wide as the tables need: a figure cut short is none."""
    console = Console()
    return console if console.width >= _WIDTH else Console(width=_WIDTH)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
