"""A student behind its teacher's classifier: trained, averaged, saved, read again, and teaching in its turn."""

from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from densedistill.distill.errors import RequestError
from densedistill.distill.reuse import ReusedHead, answers_linearly
from densedistill.distill.student import rebuild
from densedistill.distill.tensors import load_tensors

HEAD = ReusedHead(
    tap="body",
    channels_last=False,
    prefix_tokens=0,
    student_channels=6,
    teacher_channels=8,
    classes=4,
    bias=True,
    teacher_size=(8, 8),
    reduction=2,
)


def chain(tiny: ModuleType, out: Path, **settings: Any) -> Any:
    wanted = {"recipe.epochs": 1, "recipe.views_per_epoch": 24, **settings}
    return tiny.tiny_chain(tiny.tiny_spec("cls"), out, wanted, method="simkd")


@pytest.fixture(scope="module")
def run(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three generations, with an average of the weights: the second answers through the first's classifier."""
    out = tmp_path_factory.mktemp("simkd")
    done = chain(tiny, out, generations=3, **{"recipe.ema_decay": 0.5})
    done.run()
    return done


def test_the_saved_student_answers_as_its_figures_say(tiny: ModuleType, run: Any) -> None:
    for arm in ("gen_02", "gen_03"):
        student = rebuild(run.run_dir.arm(arm), tiny.TinyNetworks())
        batch = next(iter(run.data.val.batches(100, device=torch.device("cpu"))))
        with torch.no_grad():
            right = student(batch["input"]).argmax(dim=1) == batch["target"]
        assert 100 * float(right.float().mean()) == pytest.approx(run.run_dir.arm(arm).record()["val"])


def test_each_generation_keeps_its_teachers_classifier(run: Any) -> None:
    weights = [load_tensors(run.run_dir.arm(f"gen_0{n}").weights) for n in (1, 2, 3)]
    for name in ("weight", "bias"):
        assert torch.equal(weights[1][f"head.classifier.{name}"], weights[0][f"head.2.{name}"])
        assert torch.equal(weights[2][f"head.classifier.{name}"], weights[0][f"head.2.{name}"])


def test_the_control_is_the_plain_student(run: Any) -> None:
    record = run.run_dir.arm("gen_02_scratch").record()
    assert record["adapter"] is None
    assert "head.2.weight" in load_tensors(run.run_dir.arm("gen_02_scratch").weights)
    assert run.run_dir.arm("gen_02").record()["adapter"]["teacher_channels"] == 8


def test_a_copy_has_a_hook_of_its_own(tiny: ModuleType) -> None:
    images = torch.rand(2, 3, 8, 8)
    network = HEAD.around(tiny.TinyNet("cls", 6)).eval()
    twin = copy.deepcopy(network)
    nn.init.zeros_(twin.get_parameter("student.stem.0.weight"))
    with torch.no_grad():
        before = network(images)
        changed = twin(images)
        assert not torch.equal(changed, before)
        assert torch.equal(network(images), before)


def test_what_the_answer_does_not_read_is_frozen(tiny: ModuleType) -> None:
    network = HEAD.around(tiny.TinyNet("cls", 6)).train()
    network.freeze_unused(torch.rand(2, 3, 8, 8))
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert frozen == {f"{part}.{name}" for part in ("student.head.2", "head.classifier") for name in ("weight", "bias")}
    assert network.training
    assert not network.get_classifier().training


def test_a_teacher_that_answers_otherwise_is_told_apart() -> None:
    maps = torch.randn(3, 4, 5, 5)
    layer = nn.Linear(4, 7)
    logits = layer(maps.mean(dim=(2, 3)))
    assert answers_linearly(nn.Sequential(layer), maps, logits)
    assert not answers_linearly(nn.Sequential(layer), maps.relu(), logits)
    assert not answers_linearly(nn.Sequential(nn.Linear(6, 7)), maps, logits)


def test_it_cannot_be_added_to_another_method(tiny: ModuleType, tmp_path: Path) -> None:
    settings = {"recipe.epochs": 1, "method.also.simkd": {}}
    with pytest.raises(RequestError, match=r"method.also names 'simkd', which changes the student itself"):
        tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, settings).run()


def test_other_methods_can_be_added_to_it(tiny: ModuleType, tmp_path: Path) -> None:
    done = chain(tiny, tmp_path, **{"method.also": {"at": {}, "kd": {}}, "controls": []})
    done.run()
    record = done.run_dir.arm("gen_02").record()
    assert record["taps"] == ["student.body", "head.projector"]
