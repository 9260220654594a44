"""The benchmark over sets of images, and as a metric of the engine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from densedistill.distill.boundaries import (
    BoundaryBenchmark,
    BoundaryOptions,
    benchmark_boundaries,
    count_boundaries,
    score_boundaries,
    suppress,
    thin,
)
from densedistill.distill.boundaries.benchmark import Case
from densedistill.distill.errors import RequestError


def image(seed: int, height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A map (uint8) and what two annotators drew."""
    random = np.random.default_rng(seed)
    drawn = (random.random((2, height, width)) < 0.08).astype(np.uint8)
    strength = 200 * drawn[0] + random.integers(0, 56, (height, width))
    return strength.astype(np.uint8), drawn


def cases(number: int) -> list[Case]:
    return [lambda seed=seed: image(seed) for seed in range(number)]  # type: ignore[misc]


@pytest.mark.parametrize("nms", [False, True])
def test_threads_change_nothing(nms: bool) -> None:
    options = BoundaryOptions(nms=nms)
    one = benchmark_boundaries(cases(6), options, workers=1)
    three = benchmark_boundaries(cases(6), options, workers=3)
    assert one.metrics() == three.metrics()
    assert one.images == three.images
    counts = []
    for seed in range(6):
        strength, drawn = image(seed)
        values = np.round(suppress(strength / 255) * 255) / 255 if nms else strength / 255
        counts.append(count_boundaries(values, drawn))
    assert one.metrics() == score_boundaries(counts).metrics()


def test_each_image_is_told_of_and_an_error_ends_it() -> None:
    told: list[int] = []
    benchmark_boundaries(cases(4), progress=lambda: told.append(1), workers=2)
    assert len(told) == 4

    def broken() -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((4, 5), np.uint8), np.zeros((1, 5, 4), np.uint8)

    with pytest.raises(RequestError, match="cannot be scored"):
        benchmark_boundaries([*cases(1), broken, *cases(3)], workers=1)
    with pytest.raises(RequestError, match="no image"):
        benchmark_boundaries([])


def batches(number: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    strengths, drawn = zip(*(image(seed) for seed in range(number)), strict=True)
    prediction = torch.from_numpy(np.stack(strengths)).float().div(255)[:, None]
    target = torch.from_numpy(np.stack([one[0] for one in drawn])).float()[:, None]
    return prediction, {"target": target, "index": torch.arange(number)}


def test_the_metric_is_the_benchmark_of_rounded_maps() -> None:
    prediction, batch = batches(4)
    metric = BoundaryBenchmark(lambda place: image(place)[1])
    jitter = torch.rand(prediction.shape, generator=torch.Generator().manual_seed(0)) * 0.9 - 0.45
    for start in (0, 2):
        part = {key: value[start : start + 2] for key, value in batch.items()}
        metric.update((prediction + jitter / 255)[start : start + 2], part)
    assert metric.compute() == benchmark_boundaries(cases(4)).metrics()
    assert next(iter(metric.compute())) == metric.name
    rows = metric.per_image()
    assert len(rows) == 4
    assert set(rows[0]) == {"f", "threshold"}


def test_without_annotators_the_target_is_the_truth_thinned() -> None:
    prediction, batch = batches(2)
    batch["target"] = torch.nn.functional.max_pool2d(batch["target"], 3, stride=1, padding=1)
    metric = BoundaryBenchmark()
    metric.update(prediction, batch)
    counts = [
        count_boundaries(image(seed)[0] / 255, thin(batch["target"][seed, 0].numpy() > 0)[None]) for seed in range(2)
    ]
    assert metric.compute() == score_boundaries(counts).metrics()


def test_a_diverged_prediction_is_no_crash() -> None:
    prediction, batch = batches(1)
    metric = BoundaryBenchmark()
    metric.update(torch.full_like(prediction, float("nan")), batch)
    assert metric.compute()["ods"] == 0.0


def test_compiled_code_is_kept_in_the_user_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    from densedistill.distill.boundaries.compiled import compiled

    monkeypatch.setenv("DENSEDISTILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    source = tmp_path / "package" / "loops.py"
    source.parent.mkdir()
    source.write_text("def twice(number):\n    return 2 * number\n")
    specification = importlib.util.spec_from_file_location("loops", source)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert compiled(module.twice)(21) == 42
    assert list((tmp_path / "cache" / "numba").rglob("*.nbc"))
    assert not list(source.parent.rglob("*.nb?"))
    assert numba.config.CACHE_DIR == "", "other packages' compiled functions are to stay where they were"
