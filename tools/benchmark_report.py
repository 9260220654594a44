"""A benchmark's figures as a document and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from densedistill.tools.benchmark_machine import Operations
from densedistill.tools.benchmark_measure import Figures, ratios

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What the machine could do, and what a step asks of it."""

    peak: Mapping[str, float]
    """Measured TFLOP/s of a matrix product, by precision."""
    operations: Operations

    def share(self, figures: Figures) -> float:
        """Operations per second of a row over the machine's highest peak, whatever precision the row computes in.

        One yardstick for all rows: a loop in fp32 that fills the fp32 units still wastes the machine.
        """
        asked = self.operations.of_step(runs_teacher=figures.ready.runs_teacher)
        return figures.images_per_second * asked / (max(self.peak.values()) * 1e12)


def row_document(figures: Figures, bound: Bound, speeds: Mapping[str, float]) -> dict[str, Any]:
    """One row as JSON has it. `speeds` are the images per second of all rows of the run."""
    speed = figures.images_per_second
    return {
        "name": figures.name,
        "images_per_second": speed,
        "seconds_per_step": figures.seconds_per_step,
        "peak_memory_mb": figures.peak_memory_mb,
        "slowest_images_per_second": min(figures.speeds),
        "fastest_images_per_second": max(figures.speeds),
        "over_plain": speed / speeds["plain"] if "plain" in speeds else None,
        "over_floor": speed / speeds["floor"] if "floor" in speeds else None,
        "share_of_peak": bound.share(figures),
        "operations_per_image": bound.operations.of_step(runs_teacher=figures.ready.runs_teacher),
        "precision": figures.ready.precision,
        "ready_seconds": figures.ready.seconds,
        "phases": None if figures.phases is None else dict(figures.phases),
        "notes": list(figures.ready.notes),
    }


def rows_document(measured: Sequence[Figures], bound: Bound) -> dict[str, Any]:
    """The contract's `rows` and `ratios`."""
    speeds = {figures.name: figures.images_per_second for figures in measured}
    return {
        "rows": [row_document(figures, bound, speeds) for figures in measured],
        "ratios": ratios(speeds),
    }


def bound_document(bound: Bound) -> dict[str, Any]:
    """The yardsticks of `share_of_peak`."""
    return {"peak_tflops": dict(bound.peak), "operations_per_image": asdict(bound.operations)}


def rows_table(document: Mapping[str, Any], title: str) -> Table:
    """The rows of a document."""
    table = Table("row", "precision", title=title)
    for heading in (
        "images/s",
        "slowest-fastest",
        "s/step",
        "of plain",
        "of floor",
        "of peak",
        "memory",
        "ready after",
    ):
        table.add_column(heading, justify="right")
    for row in document["rows"]:
        table.add_row(
            row["name"],
            row["precision"],
            f"{row['images_per_second']:.1f}",
            f"{row['slowest_images_per_second']:.1f}-{row['fastest_images_per_second']:.1f}",
            f"{row['seconds_per_step']:.4f}",
            _times(row["over_plain"]),
            _times(row["over_floor"]),
            f"{row['share_of_peak']:.0%}",
            f"{row['peak_memory_mb']:.0f} MiB",
            f"{row['ready_seconds']:.0f} s",
        )
    return table


def ratios_table(document: Mapping[str, Any]) -> Table:
    """The ratios of a document that could be formed."""
    table = Table("ratio of images/s", title="ratios")
    table.add_column("value", justify="right")
    for name, value in document["ratios"].items():
        if value is not None:
            table.add_row(name.replace("_", " "), f"{value:.3f}")
    return table


def phases_table(document: Mapping[str, Any]) -> Table | None:
    """Where the time of a step goes, for the rows that can tell; None where none can."""
    rows = [row for row in document["rows"] if row["phases"] is not None]
    if not rows:
        return None
    table = Table("milliseconds of a step", title="phases (loading: in the background, beside the step)")
    for name in dict.fromkeys(name for row in rows for name in row["phases"]):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [row["phases"].get(str(column.header)) for column in table.columns[1:]]
        table.add_row(row["name"], *("" if value is None else f"{1000 * value:.1f}" for value in cells))
    return table


def sweep_table(sweep: Mapping[str, Any]) -> Table:
    """Cost against a size: images/s of each row, one line for each value."""
    rows = [row["name"] for row in sweep["points"][0]["rows"]]
    table = Table(sweep["over"], title=f"images/s (and MiB) over {sweep['over']}")
    for name in rows:
        table.add_column(name, justify="right")
    for point in sweep["points"]:
        cells = [f"{row['images_per_second']:.1f} ({row['peak_memory_mb']:.0f})" for row in point["rows"]]
        table.add_row(f"{point['value']:,}", *cells)
    return table


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
