"""What `evaluate.py` prints to stdout: figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from densedistill.distill.run_dir import SCHEMA


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
