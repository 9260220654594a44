"""Lessons: several students of one teacher side by side, and batches taken in parts."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from densedistill.distill.arm import lessons, plan_arms
from densedistill.distill.configuration.config import Request, resolve
from densedistill.distill.errors import InterruptedRunError, RequestError
from densedistill.distill.lessons import lesson
from densedistill.distill.lessons.micro_batches import pieces
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.outputs import Prediction
from densedistill.distill.teacher import Teacher

WIDTHS = (6, 4, 3)


def _students(kind: str) -> dict[str, object]:
    return {"students": [{"name": f"tiny/{kind}", "arguments": {"width": width}} for width in WIDTHS]}


def test_students_are_planned_side_by_side_before_their_controls() -> None:
    plans = plan_arms(2, ("scratch",), students=3)
    names = [plan.name for plan in plans]
    assert names == ["gen_01", "gen_02_a", "gen_02_b", "gen_02_c"] + [f"gen_02_{x}_scratch" for x in "abc"]
    assert [len(lesson) for lesson in lessons(plans)] == [1, 3, 1, 1, 1]
    assert [len(lesson) for lesson in lessons(plan_arms(3, ("scratch", "direct")))] == [1, 1, 1, 1, 1, 1]


def test_students_together_end_as_each_alone_and_share_the_teacher(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three students in one lesson end as each does by itself, for a third of the teacher's work."""
    asked: list[int] = []
    ask = Teacher.__call__

    def asking(teacher: Teacher, batch: Any) -> Prediction:
        asked.append(len(batch["input"]))
        return ask(teacher, batch)

    monkeypatch.setattr(Teacher, "__call__", asking)
    spec = tiny.tiny_spec("cls")
    together = tiny.tiny_chain(spec, tmp_path / "together", _students("cls"))
    result = together.run()
    # Whole batches only: the memory probe asks about fewer images.
    assert asked.count(8) == 2 * 6, "epochs x steps"
    for letter, width in zip("abc", WIDTHS, strict=True):
        alone = tmp_path / letter
        tiny.tiny_chain(spec, alone, {"networks.1.arguments": {"width": width}}).run()
        for role in ("", "_scratch"):
            mine, its = tmp_path / "together" / f"gen_02_{letter}{role}", alone / f"gen_02{role}"
            assert tiny.same_bytes(mine / "model.safetensors", its / "model.safetensors")
    arms = {arm["arm"]: arm for arm in result["arms"]}
    assert len(arms) == 7
    teacher, student, scratch = (arms[name]["test"] for name in ("gen_01", "gen_02_b", "gen_02_b_scratch"))
    expected = (student - scratch) / (teacher - scratch) if teacher > scratch else None
    assert arms["gen_02_b"]["gap_closed"] == (None if expected is None else pytest.approx(expected))


def test_a_lesson_goes_on_where_its_arms_stand_apart(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the saves of two arms, the one ahead waits for the other; the result is that of one run."""
    spec = tiny.tiny_spec("cls")
    settings = _students("cls") | {"controls": []}
    tiny.tiny_chain(spec, tmp_path / "whole", settings).run()
    monkeypatch.setattr("densedistill.distill.lessons.checkpoint.SAVE_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("densedistill.distill.lessons.checkpoint.SAVE_COST_BOUND", 1e9)
    save = ArmTraining.save

    def dying(training: ArmTraining) -> None:
        if training.arm.plan.name == "gen_02_b" and training.counters.step == 7:
            raise InterruptedRunError("killed", exit_status=137)
        save(training)

    monkeypatch.setattr(ArmTraining, "save", dying)
    with pytest.raises(InterruptedRunError):
        tiny.tiny_chain(spec, tmp_path / "killed", settings).run()
    monkeypatch.setattr(ArmTraining, "save", save)
    tiny.tiny_chain(spec, tmp_path / "killed", settings).run()
    for letter in "abc":
        arm = f"gen_02_{letter}/model.safetensors"
        assert tiny.same_bytes(tmp_path / "whole" / arm, tmp_path / "killed" / arm)


def test_an_arm_that_stops_early_leaves_the_others_learning(tiny: ModuleType, tmp_path: Path) -> None:
    settings = _students("cls") | {
        "controls": [],
        "recipe.epochs": 12,
        "recipe.early_stopping": {"monitor": "metric", "patience": 2},
    }
    result = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, settings).run()
    epochs = {arm["arm"]: arm["epochs"] for arm in result["arms"] if arm["generation"] == 2}
    assert len(set(epochs.values())) > 1, epochs
    for name, count in epochs.items():
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert sum(f'"arm": "{name}"' in line for line in lines) == count


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"generations": 3}, r"students names 3 networks.*generations=3.*--generations 2"),
        (
            {"student_weights": "/tmp/student.pth"},
            r"student_weights is one network's start, but students names several",
        ),
    ],
)
def test_what_several_students_cannot_be(tiny: ModuleType, settings: dict[str, object], words: str) -> None:
    spec = tiny.tiny_spec("cls")
    with pytest.raises(RequestError, match=words):
        resolve(spec, Request(students=["a", "b", "c"], settings=tuple(settings.items())))


def test_parts_are_nearly_equal_and_their_shares_add_up() -> None:
    batch = {"input": torch.arange(10.0)[:, None], "target": torch.arange(10)}
    taught = Prediction(output=torch.arange(10.0)[:, None], taps={"body": torch.arange(10.0)[:, None]})
    parts = list(pieces(batch, taught, 4))
    assert [len(part.batch["input"]) for part in parts] == [3, 3, 4]
    assert sum(part.share for part in parts) == pytest.approx(1.0)
    assert [part.last for part in parts] == [False, False, True]
    for part in parts:
        assert part.taught is not None
        assert torch.equal(part.taught.output, part.batch["input"])
        assert torch.equal(part.taught.taps["body"], part.batch["input"])
    (whole,) = pieces(batch, taught, 10)
    assert whole.batch is batch
    assert whole.taught is taught


def test_parts_of_a_batch_give_its_gradient(tiny: ModuleType, tmp_path: Path) -> None:
    """Without batch statistics and dropout, a batch in parts trains as the whole one up to rounding."""

    def weights(name: str, micro: int | None) -> dict[str, Any]:
        settings = {
            "speed.micro_batch": micro,
            "controls": [],
            "recipe.freeze_batch_norm": True,
            "recipe.optimizer": "sgd",
            "recipe.epochs": 1,
            "networks.1.arguments": {"width": 6, "dropout": 0.0},
            "networks.0.arguments": {"width": 8, "dropout": 0.0},
        }
        chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path / name, settings)
        result = chain.run()
        noted = any("in parts of at most 3" in note for arm in result["arms"] for note in arm["notes"])
        assert noted == (micro is not None)
        return dict(chain.network_of("gen_02").state_dict())

    whole, parted = weights("whole", None), weights("parted", 3)
    for name, value in whole.items():
        torch.testing.assert_close(parted[name], value, rtol=1e-4, atol=1e-6)


def test_memory_that_is_short_can_be_met_with_parts(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that does not fit is refused; asked for parts, the run takes it and keeps their size when resumed."""
    spec = tiny.tiny_spec("cls")
    chain = tiny.tiny_chain(spec, tmp_path / "refused")
    monkeypatch.setattr("densedistill.distill.machine.memory.available_bytes", lambda _device: 80_000)
    with pytest.raises(RequestError, match=r"batch size 8 .*--set speed\.micro_batch=\d"):
        chain.run()
    chain = tiny.tiny_chain(spec, tmp_path / "parted", {"speed.micro_batch": "auto"})
    notes = chain.run()["arms"][0]["notes"]
    assert any("in parts of at most" in note for note in notes)


@pytest.mark.parametrize("saving", [False, True])
def test_a_step_lasts_until_the_device_has_taken_it(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saving: bool
) -> None:
    """A device that is told of a step in no time, and takes a second for it."""
    device = SimpleNamespace(now=0.0, behind=0.0)
    take = ArmTraining.take_step

    def queued(training: ArmTraining, batch: Any, taught: Any) -> Any:
        device.behind += 1.0
        return take(training, batch, taught)

    def synchronise(_device: torch.device) -> None:
        device.now, device.behind = device.now + device.behind, 0.0

    def finishing(training: ArmTraining) -> bool:
        assert device.behind == 0.0, "the evaluation would wait for the steps"
        return finish(training)

    finish = ArmTraining.finish_epoch
    monkeypatch.setattr(ArmTraining, "take_step", queued)
    monkeypatch.setattr(ArmTraining, "finish_epoch", finishing)
    monkeypatch.setattr(lesson, "synchronise", synchronise)
    monkeypatch.setattr(lesson, "time", SimpleNamespace(perf_counter=lambda: device.now))
    if saving:
        monkeypatch.setattr("densedistill.distill.lessons.checkpoint.SAVE_AFTER_SECONDS", 0.0)
        monkeypatch.setattr("densedistill.distill.lessons.checkpoint.SAVE_COST_BOUND", 1e9)
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"generations": 1, "controls": []})
    chain.run()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["seconds"] for line in lines] == [6.0, 12.0], "epochs of 6 steps"
    assert lines[-1]["images_per_second"] == 8.0
