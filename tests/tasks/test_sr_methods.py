"""Super-resolution's methods: what each builds, what it reads, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from spandrel.architectures.Compact import Compact
from torch import nn

from densedistill.backbones import NetworkError, create
from densedistill.datasets.super_resolution import SuperResolutionData
from densedistill.distill.errors import RequestError
from densedistill.distill.features.taps import Tapped
from densedistill.distill.method_context import combined_terms, look, own_terms
from densedistill.distill.objective import LossTerm, Objective, without_teacher
from densedistill.distill.outputs import StepOutputs
from densedistill.distill.spec import AnyMethod, OwnContext, TermContext
from densedistill.tasks import get
from densedistill.tasks.sr_methods import METHODS, Contrast

INPUT = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
TARGET = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
BY_NAME = {method.name: method for method in METHODS}
every_method = pytest.mark.parametrize("method", METHODS, ids=BY_NAME)
every_teacher = pytest.mark.parametrize("teacher", ["imdn", "pan", "rlfn", "swinir"])


def small(name: str) -> nn.Module:
    sizes: dict[str, dict[str, Any]] = {"swinir": {"width": 12, "depths": (1, 1, 1)}, "attention-sr": {"width": 8}}
    torch.manual_seed(len(name))
    return create(name, **sizes.get(name, {}), **({} if name == "swinir" else {"blocks": 3}))


def context(student: nn.Module, teacher: nn.Module, said: list[str], taps: Sequence[str] = ()) -> TermContext:
    mine, theirs = (look(network, INPUT, given, ["stages"]) for network, given in ((student, taps), (teacher, ())))
    return TermContext(
        student_taps=mine.taps,
        teacher_taps={},
        student_features=mine.features,
        teacher_features=theirs.features,
        student_output=mine.output,
        teacher_output=theirs.output,
        teacher_network=teacher,
        probe={"input": INPUT, "target": TARGET},
        images=40,
        batch_size=8,
        epochs=10,
        seed=0,
        pretrained="none",
        warn=said.append,
    )


def build(method: AnyMethod, told: TermContext, **changes: object) -> Sequence[LossTerm]:
    if method.name == "contrastive":
        changes = {"space": "pixels", **changes}
    return combined_terms([(method, method.parameters.model_copy(update=changes))], told)


def alone(method: AnyMethod, **changes: object) -> Sequence[LossTerm]:
    told = OwnContext(pretrained="none", warn=lambda _text: None)
    return own_terms([(method, method.parameters.model_copy(update=changes))], told)


def step(student: nn.Module, teacher: nn.Module, told: TermContext) -> StepOutputs:
    with Tapped(teacher.eval(), told.teacher_features.paths(["stages"])) as teaches, torch.no_grad():
        taught = teaches(INPUT)
    with Tapped(student, told.student_features.paths(["stages"])) as learns:
        return StepOutputs(batch={"input": INPUT, "target": TARGET}, student=learns(INPUT), teacher=taught)


@every_teacher
@every_method
def test_every_method_teaches_a_convolutional_student(method: AnyMethod, teacher: str) -> None:
    told = context(student := small("attention-sr"), taught := small(teacher), [])
    objective = Objective(build(method, told))
    losses = objective(step(student, taught, told))
    assert set(losses) == {"l1", method.name}
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    objective.total(losses).backward()
    assert all(parameter.grad is None for parameter in taught.parameters())
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in student.parameters())


@every_method
def test_the_control_arm_is_plain_l1_at_full_weight(method: AnyMethod) -> None:
    told = context(small("attention-sr"), small("imdn"), [])
    for terms in (without_teacher(build(method, told)), alone(method)):
        assert [(term.name, term.weight) for term in terms] == [("l1", 1.0)]


@every_method
def test_alpha_weighs_the_teacher_s_term_and_at_0_it_is_plain_training(method: AnyMethod) -> None:
    told = context(small("attention-sr"), small("imdn"), [])
    weights = {term.name: term.weight for term in build(method, told, alpha=0.25)}
    assert weights == {method.name: 0.25, "l1": 1.0}
    assert [term.name for term in Objective(build(method, told, alpha=0.0)).terms] == ["l1"]


@every_method
def test_l1_s_weight_counts_beside_a_teacher_alone(method: AnyMethod) -> None:
    """Else it would change the controls and the teacher: 0, the teacher's image alone, would leave them nothing."""
    told = context(small("attention-sr"), small("imdn"), [])
    terms = build(method, told, l1_weight=0.0)
    assert [term.name for term in Objective(terms).terms] == [method.name]
    (control,) = without_teacher(terms)
    (untaught,) = Objective(build(method, told, l1_weight=0.25, alpha=0.0)).terms
    (scratch,) = alone(method, l1_weight=0.25)
    assert control.weight == untaught.weight == scratch.weight == 1.0


def test_an_arm_without_any_loss_is_refused() -> None:
    with pytest.raises(RequestError, match="weight above 0"):
        Objective([LossTerm(name="l1", fn=torch.nn.Module(), weight=0.0)])


def test_methods_add_up_and_l1_counts_once() -> None:
    said: list[str] = []
    told = context(student := small("attention-sr"), teacher := small("pan"), said)
    chosen = [(BY_NAME[name], BY_NAME[name].parameters) for name in ("output", "frequency", "at", "features")]
    terms = combined_terms(chosen, told)
    assert [term.name for term in terms] == ["output", "l1", "frequency", "at", "features"]
    # Nor is anybody told that VGG19 is missing, by which only `features` itself measures.
    assert said == []
    objective = Objective(terms)
    assert objective.total(objective(step(student, teacher, told))).isfinite()


def test_features_match_the_bodies_ends_or_the_taps_that_are_given() -> None:
    student, teacher, said = small("attention-sr"), small("imdn"), []
    plain = Objective(build(BY_NAME["features"], context(student, teacher, said)))
    assert [p.weight.shape[:2] for p in plain.owned["features"].modules() if isinstance(p, nn.Conv2d)] == [(64, 8)]
    told = context(student, teacher, said, taps=["blocks.1", "body_end"])
    with pytest.raises(RequestError, match=r"as many taps of the student \(2\) as of the teacher \(1\)"):
        build(BY_NAME["features"], told)


def test_attention_says_what_it_leaves_out() -> None:
    said: list[str] = []
    build(BY_NAME["at"], context(small("attention-sr"), create("rlfn", blocks=1), said))
    assert said == ["at compares the deepest 2 of the student's 4 and the teacher's 2 stages"]


def test_contrast_is_nothing_without_its_space(tmp_path: Path) -> None:
    told = context(small("attention-sr"), small("imdn"), [])
    method = BY_NAME["contrastive"]
    with pytest.raises(NetworkError, match=r"--pretrained is none: .*method\.vgg19=FILE, .*method\.space=pixels"):
        method.taught(Contrast(), told)
    with pytest.raises(NetworkError, match="there is no weight file"):
        method.taught(Contrast(vgg19=tmp_path / "none.npz"), told)
    assert not method.taught(Contrast(alpha=0), told)


def test_features_say_where_the_perceptual_term_is_off() -> None:
    said: list[str] = []
    build(BY_NAME["features"], context(small("attention-sr"), small("imdn"), said))
    assert said == [
        "the perceptual term is off, because --pretrained is none; give VGG19's weights with --set "
        "method.vgg19=FILE to have it"
    ]


def test_contrast_and_perception_by_the_real_vgg19(data_root: Path) -> None:
    weights = data_root / "weights" / "vgg19_imagenet_keras_block1-3.npz"
    if not weights.is_file():
        pytest.skip(f"needs {weights.name} in weights of the data root")
    told = context(student := small("attention-sr"), teacher := small("imdn"), [])
    chosen = [
        (BY_NAME[name], BY_NAME[name].parameters.model_copy(update={"vgg19": weights}))
        for name in BY_NAME
        if "vgg19" in type(BY_NAME[name].parameters).model_fields
    ]
    objective = Objective(combined_terms(chosen, told))
    losses = objective(step(student, teacher, told))
    assert set(losses) == {"l1", "perceptual", "features", "contrastive"}
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())


def test_a_checkpoint_of_another_scale_is_refused_before_anything_runs(tmp_path: Path) -> None:
    torch.save(Compact(num_feat=8, num_conv=1, upscale=2).state_dict(), tmp_path / "x2.pth")
    spec = get("sr")
    name = f"spandrel/{tmp_path / 'x2.pth'}"
    with pytest.raises(RequestError, match=r"x2\.pth' enlarges by 2, and the data asks for 4: .* data\.scale=2"):
        spec.network_arguments(name, SuperResolutionData(), None)  # type: ignore[arg-type]
    assert spec.network_arguments(name, SuperResolutionData(scale=2), None) == {}  # type: ignore[arg-type]


def test_the_task_lists_its_methods_and_a_preset_for_studies() -> None:
    spec = get("sr")
    assert list(spec.methods) == ["features", "output", "frequency", "at", "contrastive"]
    assert all(method.paper for method in spec.methods.values())
    study = spec.presets["study"]
    steps = study.recipe.epochs * (study.recipe.views_per_epoch or 0) / study.recipe.batch_size
    assert (study.chain[0].name, study.method, steps) == ("imdn", "output", 2000)
