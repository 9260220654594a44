"""Every method builds its terms for a real pair, names what is wrong, and reads the features it says it reads."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from densedistill.backbones import create
from densedistill.distill.configuration.config import Request, resolve
from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import Role
from densedistill.distill.features.taps import Tapped
from densedistill.distill.losses import dkd_loss, kd_loss, standardise
from densedistill.distill.method_context import combined_terms, look, own_terms
from densedistill.distill.objective import LossTerm, Objective, without_teacher
from densedistill.distill.outputs import Batch, Prediction, StepOutputs
from densedistill.distill.reuse import Adaptation
from densedistill.distill.spec import AnyMethod, OwnContext, TermContext
from densedistill.tasks import get
from densedistill.tasks.methods import classification_methods

METHODS = classification_methods()
IMAGES, CLASSES = 40, 10
ROLES: tuple[Role, ...] = ("stages", "preactivations", "hint", "last", "final", "embedding")
OWN_WEIGHTS = {"alpha", "weight", "stage_weight", "tckd_weight", "nckd_weight"}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


@functools.cache
def network(name: str, classes: int = CLASSES) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(len(name))
        return create(name, num_classes=classes, input_size=32)


def context(
    student: str = "cifar/resnet20", teacher: str = "cifar/resnet56", said: list[str] | None = None, **changes: Any
) -> TermContext:
    images = torch.zeros(2, 3, 32, 32)
    mine, theirs = (look(network(name), images, (), ROLES) for name in (student, teacher))
    plain = TermContext(
        student_taps={},
        teacher_taps={},
        student_features=mine.features,
        teacher_features=theirs.features,
        student_output=mine.output,
        teacher_output=theirs.output,
        teacher_network=network(teacher).eval(),
        probe={"input": torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))},
        images=IMAGES,
        labels=torch.arange(IMAGES) % CLASSES,
        batch_size=8,
        epochs=240,
        seed=3,
        pretrained="none",
        warn=(said if said is not None else []).append,
    )
    return dataclasses.replace(plain, **changes)


def build(method: AnyMethod, context: TermContext, **changes: Any) -> tuple[LossTerm, ...]:
    return combined_terms([(method, method.parameters.model_copy(update=changes))], context)


def changed(method: AnyMethod, student: str, teacher: str) -> Adaptation | None:
    own = copy.deepcopy(network(student))
    return None if method.adapt is None else method.adapt(method.parameters, own, context(student, teacher))


def answer(method: AnyMethod, name: str, images: torch.Tensor, *, teaches: bool) -> Prediction:
    needs = method.needs
    roles = (*needs.features, *(needs.teacher_features if teaches else needs.student_features))
    features = look(network(name), images[:2], (), ROLES).features
    with Tapped(network(name).eval(), features.paths(roles)) as tapped, torch.no_grad():
        return tapped(images)


def step(
    method: AnyMethod, student: str = "cifar/resnet20", teacher: str = "cifar/resnet56", **extra: Any
) -> StepOutputs:
    """What the engine hands to the terms where only the taps that the method asks for are taken."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(6, 3, 32, 32, generator=generator)
    batch: Batch = {"input": images, "target": torch.arange(6), "index": torch.arange(6) * 3, **extra}
    mine = answer(method, student, images, teaches=False)
    if (adaptation := changed(method, student, teacher)) is not None:
        with Tapped(adaptation.network.eval(), adaptation.taps) as tapped, torch.no_grad():
            mine = tapped(images)
    return StepOutputs(batch=batch, student=mine, teacher=answer(method, teacher, images, teaches=True))


def values(terms: tuple[LossTerm, ...], outputs: StepOutputs) -> Mapping[str, float]:
    return {name: float(value.detach()) for name, value in Objective(terms)(outputs).items()}


@every_method
def test_the_fields_own_pair_gives_finite_terms_at_the_taps_asked_for(method: AnyMethod) -> None:
    said: list[str] = []
    losses = values(build(method, context(said=said)), step(method))
    assert said == []
    assert len(losses) > int("hard" in losses)
    assert all(math.isfinite(value) for value in losses.values())


@every_method
def test_unlike_architectures_are_paired_and_it_is_said(method: AnyMethod) -> None:
    said: list[str] = []
    pair = ("timm/mobilenetv2_035", "cifar/vgg8")
    if method.adapt is not None:
        method.adapt(method.parameters, copy.deepcopy(network(pair[0])), context(*pair, said=said))
    losses = values(build(method, context(*pair, said=said)), step(method, *pair))
    assert all(math.isfinite(value) for value in losses.values())
    # The stages before the last are 4x4 in both networks.
    aligned = {"stages", "preactivations", "final"} & {*method.needs.features, *method.needs.teacher_features}
    assert any("averages the larger" in text for text in said) == bool(aligned)


@every_method
def test_one_terms_seed_leaves_the_global_generator_alone(method: AnyMethod) -> None:
    before = torch.random.get_rng_state()
    first, second = (Objective(build(method, context())).state_dict() for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    tensors = [name for name in first if isinstance(first[name], torch.Tensor)]
    for name in tensors:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, equal_nan=True)
    assert bool(tensors) == (bool(method.needs.trains) and method.adapt is None)


@every_method
def test_without_a_teacher_it_is_the_labels_cross_entropy(method: AnyMethod) -> None:
    alone = own_terms([(method, method.parameters)], OwnContext(pretrained="none", warn=print))
    for terms in (alone, without_teacher(build(method, context()))):
        (term,) = terms
        assert (term.name, term.weight, term.needs_teacher) == ("hard", 1.0, False)


@every_method
def test_weight_zero_leaves_the_labels_alone(method: AnyMethod) -> None:
    names = set(type(method.parameters).model_fields) & OWN_WEIGHTS
    terms = build(method, context(), **dict.fromkeys(names, 0.0))
    assert names
    objective = Objective(terms)
    assert not objective.needs_teacher
    assert [(term.name, term.weight) for term in objective.terms] == [("hard", 1.0)]


@every_method
def test_mixed_labels_at_share_one_are_plain_labels(method: AnyMethod) -> None:
    mixed = {"mixed_target": torch.arange(6).flip(0), "mix": torch.ones(6)}
    plain, same = (values(build(method, context()), step(method, **extra)) for extra in ({}, mixed))
    assert same == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("method", [method for method in METHODS.values() if method.needs.labels], ids=lambda m: m.name)
def test_mixed_labels_are_mixed_in_their_shares(method: AnyMethod) -> None:
    target, other, share = torch.arange(6), torch.arange(6).flip(0), torch.full((6,), 0.3)
    mixed = values(build(method, context()), step(method, mixed_target=other, mix=share))
    first, second = (values(build(method, context()), step(method, target=labels)) for labels in (target, other))
    assert mixed == pytest.approx({name: 0.3 * first[name] + 0.7 * second[name] for name in first}, rel=1e-4)


def test_dkd_and_its_standardised_form_grow_with_the_epochs() -> None:
    outputs = step(METHODS["dkd"])
    assert outputs.teacher is not None
    student, teacher = outputs.student.output, outputs.teacher.output
    wanted = {
        "dkd": float(dkd_loss(student, teacher, outputs.target, 1.0, 8.0, 4.0)),
        "lskd-dkd": float(dkd_loss(standardise(student), standardise(teacher), outputs.target, 9.0, 72.0, 2.0)),
    }
    for name, value in wanted.items():
        terms = build(METHODS[name], context())
        for progress, share in ((0.0, 0.05), (0.99, 0.05), (1.0, 0.1), (19.5, 1.0), (200.0, 1.0)):
            losses = values(terms, dataclasses.replace(outputs, progress=progress))
            assert losses[name.replace("-", "_")] == pytest.approx(share * value, rel=1e-5)


def test_lskd_is_kd_of_standardised_logits() -> None:
    outputs = step(METHODS["lskd"])
    assert outputs.teacher is not None
    terms = build(METHODS["lskd"], context())
    expected = kd_loss(standardise(outputs.student.output), standardise(outputs.teacher.output), 2.0)
    assert values(terms, outputs)["lskd"] == pytest.approx(float(expected), rel=1e-5)
    assert {term.name: term.weight for term in terms} == {"lskd": 9.0, "hard": 0.1}


def test_warm_up_longer_than_the_training_is_said() -> None:
    said: list[str] = []
    build(METHODS["dkd"], context(said=said, epochs=7))
    assert len(said) == 1
    assert "20 epochs and the arm has 7" in said[0]
    build(METHODS["dkd"], context(said=said, epochs=7), warmup_epochs=0)
    assert len(said) == 1


LOGITS = ("kd", "dkd", "lskd", "lskd-dkd", "dist", "mlkd", "nkd", "wttm", "ctkd", "ofa")


@pytest.mark.parametrize("name", LOGITS)
def test_other_classes_are_refused(name: str) -> None:
    unlike = context(teacher_output=torch.Size((2, 100)))
    with pytest.raises(RequestError, match="the student tells 10 classes apart and the teacher 100: give"):
        build(METHODS[name], unlike)


@pytest.mark.parametrize("name", LOGITS)
def test_one_channel_is_refused(name: str) -> None:
    one = torch.Size((2, 1))
    with pytest.raises(RequestError, match="1 output channel: "):
        build(METHODS[name], context(student_output=one, teacher_output=one))


@pytest.mark.parametrize("name", ["dkd", "lskd-dkd", "nkd"])
def test_two_classes_are_refused_with_the_reason(name: str) -> None:
    two = torch.Size((2, 2))
    with pytest.raises(RequestError, match=r"2 output channels: .* needs three classes or more, because .* use kd"):
        build(METHODS[name], context(student_output=two, teacher_output=two))


@pytest.mark.parametrize(("name", "fewest"), [("dist", 2), ("sp", 2), ("pkt", 2), ("rkd", 3)])
def test_batches_too_small_to_compare_images_are_refused(name: str, fewest: int) -> None:
    assert build(METHODS[name], context(batch_size=fewest))
    with pytest.raises(RequestError, match=f"is too small: .* give {fewest} images or more at once"):
        build(METHODS[name], context(batch_size=fewest - 1))


@pytest.mark.parametrize("name", ["fitnet", "at", "sp", "vid", "reviewkd", "feature", "ofa"])
def test_vectors_in_place_of_maps_are_refused(name: str) -> None:
    plain = context()
    vector = plain.student_features.of("embedding")
    flat = dataclasses.replace(plain.student_features, stages=(), preactivations=(), last=None, embedding=vector[0])
    with pytest.raises(RequestError, match=f"{name} reads feature maps, and the student shows none at its taps"):
        build(METHODS[name], dataclasses.replace(plain, student_features=flat))


def test_crd_asks_for_classes_or_does_without() -> None:
    unlabelled = context(labels=None)
    with pytest.raises(RequestError, match=r"does not tell .* give method.negatives_from=other-images"):
        build(METHODS["crd"], unlabelled)
    assert build(METHODS["crd"], unlabelled, negatives_from="other-images")


@every_method
def test_parameters_are_bounded(method: AnyMethod) -> None:
    model = type(method.parameters)
    wrong = {"alpha": (-0.1, 1.1), "weight": (-1.0, float("inf")), "temperature": (0.0, -4.0), "power": (0.0,)}
    wrong |= {"label_smoothing": (-0.1, 1.0), "hard_weight": (-1.0, float("nan")), "temperatures": ((), (4.0, 0.0))}
    tried = [(name, value) for name in wrong if name in model.model_fields for value in wrong[name]]
    assert len(tried) >= 2
    for name, value in tried:
        with pytest.raises(ValidationError):
            model.model_validate({name: value})
    with pytest.raises(ValidationError, match="extra"):
        model.model_validate({"temprature": 1})


def test_every_method_is_filed_under_its_name_with_a_paper() -> None:
    assert set(METHODS) >= {
        *("kd", "dkd", "lskd", "lskd-dkd", "dist", "mlkd", "nkd", "wttm", "ctkd"),
        *("fitnet", "at", "sp", "rkd", "pkt", "vid", "crd", "reviewkd", "ofa", "feature"),
    }
    for name, method in METHODS.items():
        assert method.name == name
        assert re.search(r"20\d\d|arXiv:\d{4}\.\d{5}", method.paper)
        assert method.summary
    assert METHODS["crd"].needs.words() == "features (embedding), embeddings, index"
    assert METHODS["kd"].needs.words() == "outputs only"


@pytest.mark.parametrize(
    ("method", "also", "temperatures"),
    [
        ("kd", [], (4.0,)),
        ("at", [], ()),
        ("crd", [], ()),
        ("crd", [("method.also.kd", {"temperature": 2.0})], (2.0,)),
        ("kd", [("method.also.lskd", {})], (4.0, 2.0)),
    ],
)
def test_temperatures_are_those_of_logits(
    method: str, also: list[tuple[str, object]], temperatures: tuple[float, ...]
) -> None:
    """CRD's 0.07 belongs to embeddings: no divergence of logits is measured at it."""
    assert resolve(get("cls"), Request(method=method, settings=also)).temperatures == temperatures
