"""benchmark.py: rounds, figures, processes, and the document it writes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from torch import nn

from densedistill.distill.errors import RequestError, RunFailedError
from densedistill.tools import benchmark, benchmark_actions
from densedistill.tools.benchmark_machine import Operations, count_operations, matrix_peak
from densedistill.tools.benchmark_measure import Figures, interleaved, ratios
from densedistill.tools.benchmark_process import Lap, Ready, RowProcess
from densedistill.tools.benchmark_report import Bound, rows_document
from densedistill.tools.benchmark_request import BenchmarkRequest, Rounds, Sweep, parse_sweep

CPU = torch.device("cpu")


def figures(name: str, seconds: list[float], *, runs_teacher: bool = True) -> Figures:
    ready = Ready(batch_size=8, precision="bf16", runs_teacher=runs_teacher, notes=(), seconds=1.0)
    laps = tuple(Lap(seconds=value, peak_memory_mb=100 * value) for value in seconds)
    return Figures(name=name, ready=ready, laps=laps, steps=2)


# -- figures --------------------------------------------------------------------------------------------------------


def test_rounds_are_interleaved() -> None:
    order: list[tuple[str, int]] = []

    def lap(name: str) -> Callable[[int], Lap]:
        def take(steps: int) -> Lap:
            order.append((name, steps))
            return Lap(seconds=len(order), peak_memory_mb=0)

        return take

    laps = interleaved({"a": lap("a"), "b": lap("b")}, Rounds(rounds=3, steps=7, warmup=1), lambda _text: None)
    assert order == [("a", 7), ("b", 7)] * 3
    assert [entry.seconds for entry in laps["b"]] == [2, 4, 6]


def test_a_row_s_figure_is_the_median_lap() -> None:
    row = figures("plain", [4.0, 1.0, 2.0])
    assert (row.images_per_second, row.seconds_per_step, row.peak_memory_mb) == (8.0, 1.0, 400.0)
    assert (min(row.speeds), max(row.speeds)) == (4.0, 16.0)


def test_what_three_students_at_once_cost() -> None:
    """A batch of 60: 1 s of teacher and 3 x 2 s of student apart, 7.7 s together."""
    found = ratios({"teacher": 60.0, "student": 30.0, "three_students": 60 / 7.7})
    assert found["three_students_cost"] == pytest.approx(1.1)


def test_ratios_are_of_medians_and_null_without_a_row() -> None:
    assert ratios({"ours": 30.0, "plain": 10.0, "student": 50.0}) == {
        "ours_over_plain": 3.0,
        "ours_over_timm": None,
        "ours_over_floor": None,
        "cached_over_student": None,
    }


def test_share_of_peak_counts_the_teacher_where_it_runs() -> None:
    bound = Bound(
        peak={"bf16": 2e-6, "fp32": 1e-6}, operations=Operations(teacher_forward=100_000, student_step=25_000)
    )
    document = rows_document([figures("plain", [1.0]), figures("student", [1.0], runs_teacher=False)], bound)
    # 16 images/s of 125,000 operations on a machine of 2,000,000 a second.
    assert [row["share_of_peak"] for row in document["rows"]] == [1.0, 0.2]
    assert [row["over_plain"] for row in document["rows"]] == [1.0, 1.0]
    assert [row["over_floor"] for row in document["rows"]] == [None, None]


def test_operations_of_convolutions_are_counted_by_hand() -> None:
    """A 3x3 convolution of C to K channels on H x W costs 2·9·C·K·H·W; backward does it once for the weights and once
    more for the input, but for the first layer's, which nobody asks for."""
    teacher = nn.Conv2d(3, 8, 3, padding=1)
    student = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1))
    workload: Any = SimpleNamespace(
        pair=lambda: SimpleNamespace(teacher=teacher, student=student),
        sample=lambda count: {"input": torch.rand(count, 3, 6, 5)},
    )
    counted = count_operations(workload)
    assert counted.teacher_forward == 2 * 9 * 3 * 8 * 30
    assert counted.student_step == 2 * (2 * 9 * 3 * 4 * 30) + 3 * (2 * 9 * 4 * 2 * 30)


def test_matrix_peak_is_what_a_product_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("densedistill.tools.benchmark_machine._SIDE", {"cpu": 100})
    monkeypatch.setattr("densedistill.tools.benchmark_machine.seconds_of", lambda work, _device: work() is None or 0.5)
    assert matrix_peak(CPU) == {"bf16": 2e6 / 0.5 / 1e12, "fp32": 2e6 / 0.5 / 1e12}


# -- requests --------------------------------------------------------------------------------------------------------


def test_sweeps_are_read() -> None:
    assert parse_sweep("batch=32,64") == Sweep("batch", (32, 64))
    assert parse_sweep("dataset=1k,1M") == Sweep("dataset", (1000, 1_000_000))
    changed = BenchmarkRequest(task="cls", batch_size=4).at("image", 64)
    assert (changed.image_size, changed.batch_size) == (64, 4)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rows", "plian"], "unknown row 'plian'. Did you mean 'plain'?"),
        (["--rows", "plain,plain"], "--rows names plain twice"),
        (["--task", "edges", "--rows", "timm"], "row 'timm' is for classification"),
        (["--rounds", "0", "--steps", "-1"], "--rounds 0 and --steps -1: must be 1 or more"),
        (["--batch-size", "0"], "--batch-size 0 is too small"),
        (["--image-size", "-3", "--workers", "-1"], "--image-size -3 is too small: give 8 or more; --workers -1"),
        (["--sweep", "batch=a"], "'a' is no count"),
        (["--sweep", "depth=3"], "unknown size 'depth'"),
        (["--sweep", "batch"], "give a size and its values"),
        (["--sweep", "batch=8", "--sweep", "batch=9"], "--sweep names batch twice"),
        (["--sweep", "batch=8,0"], "--batch-size 0 is too small"),
        (["--sweep", "dataset=10k,150"], "a set of 150 images is too small for 100 classes"),
        (["--task", "clz"], "Did you mean 'cls'?"),
        (["--teacher", "timm/resnet1O1"], "resnet1O1"),
        (["--json", "/proc/nowhere/file.json"], "--json /proc/nowhere/file.json cannot be written"),
        (["--set", "data.augmentation={mixup: {beta: 1.0}}", "--rows", "plain"], "do not mix labels"),
    ],
)
def test_wrong_requests_are_named(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--task", "cls", "--image-size", "16", "--images", "4", "--device", "cpu", *flags]
    assert benchmark.main(given) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


# -- processes -------------------------------------------------------------------------------------------------------


SMALL = BenchmarkRequest(
    task="cls",
    teacher="cifar/resnet8",
    student="cifar/resnet8",
    image_size=16,
    images=4,
    batch_size=2,
    workers=0,
    compile=False,
    device="cpu",
)


def test_an_error_in_a_row_s_process_is_raised_here() -> None:
    with pytest.raises(RequestError, match="Did you mean 'cls'"):
        RowProcess("plain", dataclasses.replace(SMALL, task="clz"), warmup=1)


def test_a_row_stands_still_but_for_its_laps_and_its_loss_is_reported() -> None:
    with RowProcess("plain", SMALL, warmup=1) as row:
        (there,) = [child for child in psutil.Process().children() if child.pid == row.pid]
        for _ in range(2):
            assert row.lap(1).seconds > 0
            assert eventually(lambda: there.status() == psutil.STATUS_STOPPED)
        there.kill()
        with pytest.raises(RunFailedError, match="'plain' ended with status -9"):
            row.lap(1)
    assert not there.is_running()


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


# -- a whole run -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a small run."""
    target = tmp_path_factory.mktemp("benchmark") / "figures.json"
    flags = "--task cls --teacher cifar/resnet14 --student cifar/resnet8 --image-size 16 --batch-size 4 --classes 5"
    more = "--images 16 --workers 0 --no-compile --device cpu --precision bf16"
    much = "--rows plain,ours,floor --rounds 2 --steps 1 --warmup 1"
    assert benchmark.main([*flags.split(), *more.split(), *much.split(), "--json", str(target)]) == 0
    document: dict[str, Any] = json.loads(target.read_text())
    return document


def test_document_has_the_contract_s_keys(written: dict[str, Any]) -> None:
    assert written["schema"] == 1
    assert [row["name"] for row in written["rows"]] == ["plain", "ours", "floor"]
    for row in written["rows"]:
        assert {"name", "images_per_second", "seconds_per_step", "peak_memory_mb"} <= set(row)
        assert row["images_per_second"] == pytest.approx(4 / row["seconds_per_step"])
        assert row["slowest_images_per_second"] <= row["images_per_second"] <= row["fastest_images_per_second"]
        assert row["peak_memory_mb"] > 50
        assert 0 < row["share_of_peak"] < 1
    names = ["ours_over_plain", "ours_over_timm", "ours_over_floor", "cached_over_student"]
    assert list(written["ratios"]) == names
    speeds = {row["name"]: row["images_per_second"] for row in written["rows"]}
    assert written["ratios"]["ours_over_floor"] == speeds["ours"] / speeds["floor"]
    assert written["ratios"]["ours_over_timm"] is None
    phases = {row["name"]: row["phases"] for row in written["rows"]}
    assert {"data", "teacher", "forward", "backward", "optimiser", "other", "loading"} == set(phases["ours"])
    assert phases["plain"] is None


def test_document_says_what_was_measured_where(written: dict[str, Any]) -> None:
    assert (written["teacher"], written["student"]) == ("cifar/resnet14", "cifar/resnet8")
    assert (written["batch_size"], written["input"]) == (4, [3, 16, 16])
    assert written["environment"]["precision"] == "bf16"
    assert written["command"][:2] == ["python", "tools/benchmark.py"]
    assert set(written["peak_tflops"]) == {"bf16", "fp32"}
    precisions = {row["name"]: row["precision"] for row in written["rows"]}
    assert (precisions["plain"], precisions["floor"]) == ("fp32", "bf16")


def sweep(monkeypatch: pytest.MonkeyPatch, target: Path, swept: str, look: Callable[[BenchmarkRequest], None]) -> int:
    """The exit status of a benchmark whose figures are made up; `look` is shown each request before it is answered."""

    def measured(names: tuple[str, ...], request: BenchmarkRequest, rounds: Rounds, _say: object) -> list[Figures]:
        look(request)
        return [figures(name, [1.0, 2.0]) for name in names]

    monkeypatch.setattr(benchmark_actions, "measure", measured)
    monkeypatch.setattr(benchmark_actions, "matrix_peak", lambda _device: {"bf16": 2.0, "fp32": 1.0})
    flags = "--task cls --student cifar/resnet8 --teacher cifar/resnet8 --image-size 16 --images 4 --batch-size 2"
    asked = f"{flags} --rows plain,floor {swept} --device cpu"
    return benchmark.main([*asked.split(), "--json", str(target)])


def test_a_sweep_measures_every_row_at_every_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int | None, int]] = []
    target = tmp_path / "figures.json"

    def look(request: BenchmarkRequest) -> None:
        asked.append((request.batch_size, request.workers))

    assert sweep(monkeypatch, target, "--sweep batch=4,6 --sweep workers=0,3", look) == 0
    assert asked == [(2, 2), (4, 2), (6, 2), (2, 0), (2, 3)]
    batch, workers = json.loads(target.read_text())["sweeps"]
    assert [point["value"] for point in batch["points"]] == [4, 6]
    assert [row["name"] for row in workers["points"][1]["rows"]] == ["plain", "floor"]


def test_what_was_measured_outlives_a_sweep_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, swept = tmp_path / "figures.json", "--sweep batch=4 --sweep workers=0,3"

    def look(request: BenchmarkRequest) -> None:
        if request.workers == failing_at:
            raise RunFailedError("row 'plain' ended")

    failing_at = 2
    assert sweep(monkeypatch, target, swept, look) == 3
    assert not target.exists()
    failing_at = 3
    assert sweep(monkeypatch, target, swept, look) == 3
    document = json.loads(target.read_text())
    assert [row["name"] for row in document["rows"]] == ["plain", "floor"]
    assert [sweep["over"] for sweep in document["sweeps"]] == ["batch"]
