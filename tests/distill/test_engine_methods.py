"""Every classification method through the engine: the student changes, its own layers train, a kill is mended."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from densedistill.distill.arm import Arm
from densedistill.distill.configuration.config import Request, resolve
from densedistill.distill.errors import InterruptedRunError, RequestError
from densedistill.distill.lessons.lesson import Lesson
from densedistill.distill.lessons.micro_batches import pieces, smallest_piece
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.outputs import Prediction, StepOutputs
from densedistill.distill.probe import estimate_memory
from densedistill.distill.tensors import load_state, load_tensors
from densedistill.tasks.methods import classification_methods

METHODS = classification_methods()
SETTINGS: Mapping[str, Any] = {
    "crd": {"method.negatives_from": "other-images", "method.negatives": 8, "method.embedding": 4}
}
"""The tiny task's training set tells no classes."""
SHORT = {"recipe.epochs": 1, "recipe.views_per_epoch": 16}
OWN = re.compile(r"objective\.|student\.head\.projector\.")
"""A method's own layers: with its losses, or with the student where the student cannot do without."""
every_method = pytest.mark.parametrize("name", METHODS)


def chain(tiny: ModuleType, out: Path, name: str, settings: Mapping[str, Any]) -> Any:
    wanted = {**SHORT, **SETTINGS.get(name, {}), **settings}
    return tiny.tiny_chain(tiny.tiny_spec("cls"), out, wanted, method=name)


@pytest.fixture(scope="module")
def plain(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by `kd`: its teacher's weights, and those of a student without one."""
    out = tmp_path_factory.mktemp("plain")
    chain(tiny, out, "kd", {}).run()
    torch.save(load_tensors(out / "gen_01/model.safetensors"), out / "teacher.pth")
    return out


def taught(plain: Path, **settings: Any) -> dict[str, Any]:
    """Settings of a run whose teacher is `plain`'s."""
    return {"teacher_weights": str(plain / "teacher.pth"), "controls": [], **settings}


def student(out: Path, inside: str) -> dict[str, torch.Tensor]:
    """The weights of the student's own modules, which lie under `inside` where the method has changed it."""
    weights = load_tensors(out / "gen_02/model.safetensors")
    return {key.removeprefix(inside): value for key, value in weights.items() if key.startswith(inside)}


@every_method
def test_it_trains_the_student_and_its_own_layers(
    tiny: ModuleType, tmp_path: Path, plain: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, torch.Tensor], set[str], ArmTraining]] = []
    make = ArmTraining.__init__

    def noting(training: ArmTraining, arm: Arm, *rest: Any) -> None:
        make(training, arm, *rest)
        known = {id(value) for group in training.optimizer.param_groups for value in group["params"]}
        own = {key: value for key, value in training.step_module.named_parameters() if OWN.match(key)}
        own = {key: value for key, value in own.items() if value.requires_grad}
        start = {key: value.detach().clone() for key, value in own.items()}
        seen.append((start, {key for key, value in own.items() if id(value) in known}, training))

    monkeypatch.setattr(ArmTraining, "__init__", noting)
    chain(tiny, tmp_path, name, taught(plain)).run()
    ((start, optimised, training),) = seen
    scratch = load_tensors(plain / "gen_02_scratch/model.safetensors")
    taught_weights = student(tmp_path, "student." if METHODS[name].adapt else "")
    assert taught_weights.keys() == scratch.keys()
    assert any(not torch.equal(value, scratch[key]) for key, value in taught_weights.items())
    assert bool(start) == bool(METHODS[name].needs.trains)
    assert optimised == set(start)
    now = dict(training.step_module.named_parameters())
    assert all(not torch.equal(value, now[key]) for key, value in start.items())


@every_method
def test_at_weight_zero_it_is_plain_training_bit_by_bit(
    tiny: ModuleType, tmp_path: Path, plain: Path, name: str
) -> None:
    own = {"alpha", "weight", "stage_weight", "tckd_weight", "nckd_weight"} & set(METHODS[name].parameters.model_dump())
    chain(tiny, tmp_path, name, taught(plain, **{f"method.{key}": 0.0 for key in own})).run()
    assert tiny.same_bytes(tmp_path / "gen_02/model.safetensors", plain / "gen_02_scratch/model.safetensors")


@pytest.mark.parametrize("name", ["crd", "ctkd", "reviewkd", "fitnet"])
def test_a_method_with_state_goes_on_where_it_stopped(
    tiny: ModuleType, tmp_path: Path, plain: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = taught(plain, **{"recipe.epochs": 2, "recipe.ema_decay": 0.9, "recipe.views_per_epoch": 24})
    chain(tiny, tmp_path / "whole", name, settings).run()
    teach = Lesson._teach

    def stopping(lesson: Lesson, learners: Any, supply: Any) -> Any:
        done = teach(lesson, learners, supply)
        if learners[0].counters.step == 4:
            lesson.trainings[0].save()
            raise InterruptedRunError("stopped", exit_status=143)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Lesson, "_teach", stopping)
        with pytest.raises(InterruptedRunError):
            chain(tiny, tmp_path / "stopped", name, settings).run()
    state = load_state(tmp_path / "stopped/gen_02/state/state.pt")
    assert any(key.startswith("objective.") for key in state["module"])
    chain(tiny, tmp_path / "stopped", name, settings).run()
    weights = "gen_02/model.safetensors"
    assert tiny.same_bytes(tmp_path / "stopped" / weights, tmp_path / "whole" / weights)


def test_methods_are_added_up_by_weight(tiny: ModuleType, tmp_path: Path, plain: Path) -> None:
    also = {"at": {"weight": 500.0}, "lskd": {}, "fitnet": {"weight": 0.0}}
    made = chain(tiny, tmp_path, "kd", taught(plain, **{"method.also": also, "method.also.rkd.angle_weight": 1.0}))
    lines: list[Any] = []
    made.track = lines.append
    (plan,) = (plan for plan in made.plans if plan.name == "gen_02")
    made.run()
    weights = {term.name: term.weight for term in made.assemble(plan).arm.terms}
    assert weights == pytest.approx({"soft": 0.9, "hard": 0.1, "at": 500.0, "lskd": 9.0, "fitnet": 0.0, "rkd": 1.0})
    assert set(lines[-1]["losses"]) == {"soft", "hard", "at", "lskd", "rkd"}
    assert made.resolved.config.plain()["method"]["also"] == {**also, "rkd": {"angle_weight": 1.0}}


def test_only_the_taps_that_are_read_are_taken_and_recorded(tiny: ModuleType, tmp_path: Path, plain: Path) -> None:
    made = chain(tiny, tmp_path, "rkd", taught(plain))
    (plan,) = (plan for plan in made.plans if plan.name == "gen_02")
    made.run()
    assert made.run_dir.arm("gen_02").record()["taps"] == ["head.1"]
    assembled = made.assemble(plan)
    assert assembled.arm.teacher is not None
    assert assembled.arm.teacher.taps == ("head.1",)


def test_given_taps_are_used(tiny: ModuleType, tmp_path: Path, plain: Path) -> None:
    given = {"networks.0.taps": ["stem"], "networks.1.taps": ["body"]}
    made = chain(tiny, tmp_path, "at", taught(plain, **given))
    made.run()
    assert made.run_dir.arm("gen_02").record()["taps"] == ["body"]
    with pytest.raises(RequestError, match=r"tap 'bod' is no module of TinyNet: .* 'body'"):
        chain(tiny, tmp_path / "wrong", "at", taught(plain, **given | {"networks.1.taps": ["bod"]})).run()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method.also.kd.alpha": 0.5}, "method.also names 'kd', which is the method itself"),
        ({"method.also.attention.weight": 1.0}, "unknown method of task tiny_cls 'attention'"),
        ({"method.also.at.wieght": 1.0}, "method.also.at.wieght"),
        ({"method.also.at.weight": -1.0}, "method.also.at.weight=-1.0: input should be greater than or equal to 0"),
        ({"method.also": ["at"]}, "method.also=['at']: must map names"),
        ({"method.temperature": 0.0}, "method.temperature=0.0: temperature 0.0 is no divisor for logits"),
        ({"method.alpha": 1.5}, "method.alpha=1.5: the teacher's share 1.5 is no share of a whole"),
    ],
)
def test_wrong_methods_are_named(tiny: ModuleType, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        resolve(tiny.tiny_spec("cls"), Request(method="kd", settings=tuple(settings.items())))
    assert message in str(caught.value)


def test_a_batch_too_small_for_relations_is_refused(tiny: ModuleType, tmp_path: Path, plain: Path) -> None:
    made = chain(tiny, tmp_path, "rkd", taught(plain, **{"speed.micro_batch": 2}))
    with pytest.raises(RequestError, match="a batch of 2 images is too small: rkd compares 3 images"):
        made.run()
    assert not (tmp_path / "gen_02/model.safetensors").exists()


def test_terms_know_how_far_the_training_is(tiny: ModuleType, tmp_path: Path, plain: Path) -> None:
    made = chain(tiny, tmp_path, "kd", taught(plain, **{"recipe.epochs": 2, "speed.micro_batch": 4}))
    told: list[float] = []
    assemble = made.assemble

    def noting(plan: Any, teacher: Any = None) -> Any:
        assembled = assemble(plan, teacher)
        if plan.name != "gen_02":
            return assembled
        soft, hard = assembled.arm.terms

        def listening(outputs: StepOutputs) -> torch.Tensor:
            told.append(outputs.progress)
            return soft.fn(outputs)

        terms = (dataclasses.replace(soft, fn=listening), hard)
        return dataclasses.replace(assembled, arm=dataclasses.replace(assembled.arm, terms=terms))

    made.assemble = noting
    made.run()
    # Two steps an epoch, two parts a step.
    assert told == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.5, 1.5]


@pytest.mark.parametrize("name", ["crd", "reviewkd", "simkd"])
def test_looking_at_an_arm_leaves_its_methods_state_alone(
    tiny: ModuleType, tmp_path: Path, plain: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[bool] = []
    step = ArmTraining.take_step

    def timing(training: ArmTraining, batch: Any, answer: Any) -> float | None:
        before = copy.deepcopy(training.step_module.state_dict())
        training.gradient_seconds(batch, answer, repeats=1)
        estimate_memory(training.arm, batch, training.runtime)
        after = training.step_module.state_dict()
        assert any(isinstance(value, dict) for value in after.values()) == (name == "crd")
        changed.extend(not same(value, after[key]) for key, value in before.items())
        return step(training, batch, answer)

    monkeypatch.setattr(ArmTraining, "take_step", timing)
    chain(tiny, tmp_path, name, taught(plain)).run()
    assert changed
    assert not any(changed)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first.nan_to_num(), second.nan_to_num())
    return bool(first == second)


@pytest.mark.parametrize("name", ["rkd", "lskd"])
def test_kept_answers_teach_as_the_teacher_does(tiny: ModuleType, tmp_path: Path, plain: Path, name: str) -> None:
    wanted = taught(plain, teacher_cache=1, **{"recipe.epochs": 3})
    made = chain(tiny, tmp_path, name, wanted)
    lines: list[Any] = []
    made.track = lines.append
    made.run()
    losses = [line["losses"][name] for line in lines if line["arm"] == "gen_02"]
    assert len(losses) == 3
    assert all(math.isfinite(value) and value > 0 for value in losses)


@pytest.mark.parametrize(
    ("name", "also", "kept"), [("kd", {}, 64), ("dkd", {}, 300), ("at", {}, 64), ("kd", {"lskd": {}}, 300)]
)
def test_a_cache_keeps_every_logit_where_the_method_reads_them(
    tiny: ModuleType, tmp_path: Path, name: str, also: dict[str, Any], kept: int
) -> None:
    made = chain(tiny, tmp_path, name, {"method.also": also})
    teacher = MagicMock(return_value=Prediction(output=torch.zeros(2, 300), taps={}))
    teacher.name = "gen_01"
    plan = made.cache_plan(teacher, 1)
    assert getattr(plan.output, "kept", 300) == kept


@pytest.mark.parametrize(("count", "most"), [(64, None), (64, 64), (64, 3), (10, 4), (7, 2), (9, 9)])
def test_the_smallest_part_of_a_batch_is_known_ahead(count: int, most: int | None) -> None:
    sizes = [len(piece.batch["input"]) for piece in pieces({"input": torch.zeros(count, 1)}, None, most)]
    assert smallest_piece(count, most) == min(sizes)
