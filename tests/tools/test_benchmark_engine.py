"""The benchmark's rows of our own engine: a real run that waits at each step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.lessons import checkpoint
from densedistill.distill.outputs import Batch, Prediction
from densedistill.distill.teacher import Teacher
from densedistill.tools.benchmark_engine import EngineRow, Gate, endless, ours, ours_cached, student
from densedistill.tools.benchmark_request import BenchmarkRequest
from densedistill.tools.benchmark_workload import Workload, prepare


@pytest.fixture(scope="module")
def small() -> Workload:
    request = BenchmarkRequest(
        task="cls",
        teacher="cifar/resnet14",
        student="cifar/resnet8",
        image_size=16,
        batch_size=4,
        images=16,
        classes=5,
        workers=0,
        compile=False,
        device="cpu",
        precision="fp32",
    )
    return prepare(request)


@pytest.fixture(autouse=True)
def usual_saving() -> Iterator[None]:
    """A row changes it for its process, which here is the tests'."""
    before = checkpoint.SAVE_AFTER_SECONDS
    yield
    checkpoint.SAVE_AFTER_SECONDS = before


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the teacher was asked about, batch by batch."""
    asked: list[int] = []
    answer = Teacher.__call__

    def counted(self: Teacher, batch: Batch) -> Prediction:
        asked.append(len(batch["input"]))
        return answer(self, batch)

    monkeypatch.setattr(Teacher, "__call__", counted)
    return asked


def test_the_gate_lets_pass_what_was_asked_for_and_no_more() -> None:
    gate, taken = Gate(), []

    def run() -> None:
        gate.open()
        for number in range(5):
            taken.append(number)
            gate.step(number, 1, None)
        gate.fail(RuntimeError("over"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert taken == []
    gate.pass_through(2)
    assert taken == [0, 1]
    gate.pass_through(3)
    with pytest.raises(RuntimeError, match="over"):
        gate.pass_through(1)
    thread.join(5)
    assert not thread.is_alive()


def test_ours_is_a_run_of_the_engine(small: Workload, asked: list[int]) -> None:
    with closing(ours(small)) as row:
        row.steps(1)
        before = len(asked)
        row.steps(3)
        assert asked[before:] == [4, 4, 4]
        assert row.runs_teacher


def test_kept_answers_are_all_there_before_the_first_step_counts(small: Workload, asked: list[int]) -> None:
    with closing(ours_cached(small)) as row:
        before = len(asked)
        assert asked[-4:] == [4, 4, 4, 4]
        row.steps(3)
        assert len(asked) == before
        assert not row.runs_teacher


def test_the_student_alone_asks_nobody(small: Workload, asked: list[int]) -> None:
    with closing(student(small)) as row:
        row.steps(2)
        assert asked == []
        assert "teacher" not in row.phases(1)


def test_phases_add_up_to_the_step(small: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(ours(small)) as row:
        row.steps(1)
        monkeypatch.setattr(
            "densedistill.tools.benchmark_engine.seconds_of", lambda work, _device: 8.0 if work() is None else 2.0
        )
        found = row.phases(2)
        assert {"data", "teacher", "forward", "backward", "optimiser"} <= set(found)
        assert sum(seconds for name, seconds in found.items() if name != "loading") == pytest.approx(4.0)
        assert found["loading"] == 1.0
        row.steps(1)
        assert row.clock.on is False


def test_what_ends_a_run_is_raised_where_its_steps_are_asked_for(small: Workload) -> None:
    row = EngineRow(small, taught=True, settings=[("recipe.momentun", 0.5)])
    with closing(row), pytest.raises(RequestError, match="Did you mean 'momentum'"):
        row.steps(1)


def test_a_run_is_long_and_never_evaluated_on_its_way(small: Workload) -> None:
    recipe = endless(small, []).config.recipe_of(2, pretrained=False)
    assert recipe.evaluate_every == recipe.epochs >= 100
    assert recipe.views_per_epoch == 4000
    assert recipe.early_stopping is None
    assert endless(small, []).config.speed.compile == "never"


def test_taught_by_features_as_well() -> None:
    settings = (("networks.0.arguments", {"width": 12, "depths": [1]}), ("networks.1.arguments", {"width": 8}))
    request = BenchmarkRequest(
        task="sr",
        teacher="swinir",
        student="attention-sr",
        image_size=8,
        images=4,
        batch_size=2,
        compile=False,
        device="cpu",
        precision="bf16",
        settings=settings,
    )
    with closing(ours_cached(prepare(request))) as row:
        row.steps(1)
        assert row.gate.taken == 7  # two batches fill the cache, four may have been looked up before, and one counts
