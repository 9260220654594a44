"""The engine asks a task's benchmark of test sets alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from densedistill.distill.boundaries import BoundaryBenchmark
from densedistill.distill.data import EvalSet


def test_tests_have_the_figures_of_the_benchmark_and_validation_has_not(tiny: ModuleType, tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def benchmark(_options: Any, part: str, images: EvalSet) -> BoundaryBenchmark:
        asked.append((part, len(images.ids)))
        return BoundaryBenchmark()

    spec = dataclasses.replace(tiny.tiny_spec("edges"), benchmark=benchmark)
    chain = tiny.tiny_chain(spec, tmp_path, {"recipe.epochs": 1})
    result = chain.run()
    assert {part for part, _ in asked} == {"test"}
    assert len(asked) == len(result["arms"]) * len(chain.data.tests)
    for arm in result["arms"]:
        record = json.loads((tmp_path / arm["arm"] / "arm.json").read_text())
        assert set(record["val_metrics"]) == {"dice", "dice_per_image"}
        for figures in record["tests"].values():
            assert list(figures) == ["dice", "dice_per_image", "ods", "ods_threshold", "ois", "ap"]
        assert arm["tests"] == record["tests"]
        assert arm["test"] == next(iter(record["tests"].values()))["dice"]
