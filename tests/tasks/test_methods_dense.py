"""Every dense method builds its terms for real pairs, reads the stages it says it reads, and names what is wrong."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from densedistill.backbones import create
from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import Role
from densedistill.distill.features.taps import Tapped
from densedistill.distill.losses import bernoulli_kl, boundary_weight, label_boundaries, pixel_kl
from densedistill.distill.method_context import combined_terms, look, own_terms
from densedistill.distill.objective import LossTerm, Objective, without_teacher
from densedistill.distill.outputs import StepOutputs
from densedistill.distill.spec import AnyMethod, OwnContext, TermContext
from densedistill.tasks.methods_dense import edge_methods, segmentation_methods

EDGES, SEGMENTATION = edge_methods(), segmentation_methods()
CLASSES = 4
ROLES: tuple[Role, ...] = ("stages", "last")
SIDE = 64
NARROW = {"decoder_channels": (16, 16, 8, 8, 8)}
NETWORKS: dict[str, dict[str, Any]] = {
    "smp/unet-mobilenet_v2": NARROW,
    "smp/unet-tu-mobilenetv3_small_050": NARROW,
    "smp/fpn-mobilenet_v2": {},
    "smp/unetplusplus-mobilenet_v2": NARROW,
    "pidinet-tiny": {},
}
TEACHER, STUDENT = "smp/unet-mobilenet_v2", "smp/unet-tu-mobilenetv3_small_050"
every_method = pytest.mark.parametrize(
    ("method", "maps"),
    [*((method, 1) for method in EDGES.values()), *((method, CLASSES) for method in SEGMENTATION.values())],
    ids=[*(f"edges-{name}" for name in EDGES), *(f"seg-{name}" for name in SEGMENTATION)],
)


@functools.cache
def network(name: str, maps: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(len(name))
        counted = {} if name == "pidinet-tiny" else {"classes": maps}
        return create(name, **NETWORKS[name], **counted).eval()


@functools.cache
def seen(name: str, maps: int = 1) -> Any:
    return look(network(name, maps), torch.zeros(2, 3, SIDE, SIDE), (), ROLES)


def context(maps: int, student: str = STUDENT, teacher: str = TEACHER, **changes: Any) -> TermContext:
    mine, theirs = seen(student, maps), seen(teacher, maps)
    plain = TermContext(
        student_taps={},
        teacher_taps={},
        student_features=mine.features,
        teacher_features=theirs.features,
        student_output=mine.output,
        teacher_output=theirs.output,
        teacher_network=network(teacher, maps),
        probe={"input": torch.zeros(2, 3, SIDE, SIDE)},
        images=40,
        batch_size=8,
        epochs=10,
        seed=3,
        pretrained="none",
        warn=lambda text: None,
    )
    return dataclasses.replace(plain, **changes)


def build(method: AnyMethod, context: TermContext, **changes: Any) -> tuple[LossTerm, ...]:
    return combined_terms([(method, method.parameters.model_copy(update=changes))], context)


@functools.cache
def step(maps: int, student: str = STUDENT, teacher: str = TEACHER) -> StepOutputs:
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(2, 3, SIDE, SIDE, generator=generator)
    answers = []
    for name in (student, teacher):
        features = seen(name, maps).features
        with Tapped(network(name, maps), features.paths(ROLES)) as tapped, torch.no_grad():
            answers.append(tapped(images))
    return StepOutputs(
        batch={"input": images, "target": truth(maps), "index": torch.arange(2)}, student=answers[0], teacher=answers[1]
    )


def truth(maps: int) -> Tensor:
    """A square, as a map of its boundary or of classes; without a label in one corner of the latter."""
    labels = torch.zeros(2, SIDE, SIDE, dtype=torch.int64)
    labels[:, 20:40, 16:48] = 2
    if maps == 1:
        return label_boundaries(labels)
    labels[:, :8, :8] = 255
    return labels


def values(terms: tuple[LossTerm, ...], outputs: StepOutputs) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in Objective(terms)(outputs).items()}


@every_method
def test_the_tasks_own_pair_gives_finite_terms(method: AnyMethod, maps: int) -> None:
    losses = values(build(method, context(maps)), step(maps))
    assert len(losses) == 2
    assert all(math.isfinite(value) and value > 0 for value in losses.values())


@every_method
def test_the_student_learns_from_the_methods_term_alone(method: AnyMethod, maps: int) -> None:
    outputs = step(maps)
    given = {path: value.clone().requires_grad_() for path, value in outputs.student.taps.items()}
    student = dataclasses.replace(outputs.student, output=outputs.student.output.clone().requires_grad_(), taps=given)
    (term,) = [term for term in build(method, context(maps)) if term.needs_teacher]
    term.fn(dataclasses.replace(outputs, student=student)).backward()
    read = [student.output, *given.values()]
    touched = [value for value in read if value.grad is not None and bool((value.grad != 0).any())]
    assert (
        len(touched)
        == (0 if method.needs.features else 1) + {"last": 1, "stages": 4, "": 0}["".join(method.needs.features)]
    )


@every_method
def test_without_a_teacher_it_is_the_labels_loss(method: AnyMethod, maps: int) -> None:
    alone = own_terms([(method, method.parameters)], OwnContext(pretrained="none", warn=print))
    for terms in (alone, without_teacher(build(method, context(maps)))):
        (term,) = terms
        assert (term.name, term.weight, term.needs_teacher) == ("hard", 1.0, False)


@every_method
def test_weight_zero_leaves_the_labels_alone(method: AnyMethod, maps: int) -> None:
    (name,) = {"alpha", "weight"} & set(type(method.parameters).model_fields)
    objective = Objective(build(method, context(maps), **{name: 0.0}))
    assert [(term.name, term.weight) for term in objective.terms] == [("hard", 1.0)]


@every_method
def test_parameters_are_bounded(method: AnyMethod, maps: int) -> None:
    model = type(method.parameters)
    wrong = {"alpha": (-0.1, 1.1), "weight": (-1.0, math.inf), "temperature": (0.0,), "nodes": (1,)}
    wrong |= {"pos_weight": (0.0, -1.0), "dice_weight": (-1.0,), "label_smoothing": (1.0,), "boundary_width": (0.0,)}
    tried = [(name, value) for name in wrong if name in model.model_fields for value in wrong[name]]
    assert len(tried) >= 2
    for name, value in tried:
        with pytest.raises(ValidationError):
            model.model_validate({name: value})
    with pytest.raises(ValidationError, match="extra"):
        model.model_validate({"temprature": 1})


@every_method
def test_every_method_names_its_paper(method: AnyMethod, maps: int) -> None:
    assert method.summary
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|reference 003", method.paper)


@pytest.mark.parametrize("methods", [EDGES, SEGMENTATION], ids=["edges", "seg"])
def test_all_methods_add_up(methods: dict[str, AnyMethod]) -> None:
    maps = 1 if methods is EDGES else CLASSES
    terms = combined_terms([(method, method.parameters) for method in methods.values()], context(maps))
    losses = values(terms, step(maps))
    assert len(losses) == len(methods) + 1
    assert all(math.isfinite(value) for value in losses.values())


@pytest.mark.parametrize(
    ("student", "teacher", "sides"),
    [
        (STUDENT, TEACHER, [8, 16, 32, 64]),
        (STUDENT, "pidinet-tiny", [8, 16, 32, 64]),
        (STUDENT, "smp/fpn-mobilenet_v2", [8, 16]),
        ("pidinet-tiny", "smp/unet-mobilenet_v2", [8, 16, 32, 64]),
    ],
)
def test_decoders_stages_are_found_and_paired_by_resolution(student: str, teacher: str, sides: list[int]) -> None:
    (term,) = [term for term in build(EDGES["feature"], context(1, student, teacher)) if term.needs_teacher]
    assert isinstance(term.fn, nn.Module)
    pairs = term.fn.term.pairs
    assert [mine.shape[2] for mine, _theirs in pairs] == [theirs.shape[2] for _mine, theirs in pairs] == sides
    paths = {feature.path for pair in pairs for feature in pair}
    assert all(re.match(r"decoder\.(blocks|p)|attentions\.", path) for path in paths)
    assert math.isfinite(float(term.fn(step(1, student, teacher)).detach()))


def test_features_do_not_count_by_their_size() -> None:
    outputs = step(1)
    assert outputs.teacher is not None
    larger = {path: 1000 * feature for path, feature in outputs.teacher.taps.items()}
    scaled = dataclasses.replace(outputs, teacher=dataclasses.replace(outputs.teacher, taps=larger))
    terms = build(EDGES["feature"], context(1))
    assert values(terms, scaled)["feature"] == pytest.approx(values(terms, outputs)["feature"], rel=1e-5)
    dead = {path: 0 * feature for path, feature in larger.items()}
    without = dataclasses.replace(outputs, teacher=dataclasses.replace(outputs.teacher, taps=dead))
    assert math.isfinite(values(terms, without)["feature"])


def test_other_architectures_are_paired_at_the_end_of_their_decoder() -> None:
    pair = ("smp/unetplusplus-mobilenet_v2", TEACHER)
    (term,) = [term for term in build(EDGES["feature"], context(1, *pair)) if term.needs_teacher]
    assert isinstance(term.fn, nn.Module)
    assert [(mine.path, theirs.path) for mine, theirs in term.fn.term.pairs] == [("decoder", "decoder.blocks.4")]
    assert math.isfinite(float(term.fn(step(1, *pair)).detach()))


def test_declared_strides_are_those_that_a_pass_shows() -> None:
    for name, arguments in (("unet", {}), ("unet", {"encoder_depth": 3}), ("fpn", {}), ("fpn", {"encoder_depth": 4})):
        built = create(f"smp/{name}-mobilenet_v2", **arguments).eval()
        declared = {info["module"]: info["reduction"] for info in built.feature_info}
        found = look(built, torch.zeros(1, 3, 96, 96), (), ("stages",)).features
        assert len(found.stages) == min(4, len(declared))
        assert [96 // stage.shape[2] for stage in found.stages] == [declared[stage.path] for stage in found.stages]


@pytest.mark.parametrize("name", ["soft-maps", "kd", "dice", "cwd", "boundary"])
def test_unlike_maps_are_refused(name: str) -> None:
    unlike = context(1, teacher_output=torch.Size((2, 3, 32, 64)))
    with pytest.raises(RequestError, match="the student draws 1 map of 64x64 and the teacher 3 maps of 64x32: give"):
        build(EDGES[name], unlike)


def test_boundaries_are_those_of_the_truth() -> None:
    for methods, maps, loss in ((EDGES, 1, bernoulli_kl), (SEGMENTATION, CLASSES, pixel_kl)):
        outputs = step(maps)
        assert outputs.teacher is not None
        boundary = outputs.target if maps == 1 else label_boundaries(outputs.target, 255)
        weight = boundary_weight(boundary, 2.0, 5.0)
        expected = loss(outputs.student.output, outputs.teacher.output, 3.0, weight)
        terms = build(methods["boundary"], context(maps), temperature=3.0, boundary_width=2.0, boundary_strength=5.0)
        assert values(terms, outputs)["boundary"] == pytest.approx(float(expected), rel=1e-6)
        even = build(methods["boundary"], context(maps), boundary_strength=0.0)
        plain = build(methods["kd"], context(maps))
        assert values(even, outputs)["boundary"] == pytest.approx(values(plain, outputs)["kd"], rel=1e-5)


def test_dice_of_the_truth_stands_beside_its_cross_entropy_in_every_arm() -> None:
    plain = values(build(EDGES["soft-maps"], context(1)), step(1))
    more = values(build(EDGES["soft-maps"], context(1), dice_weight=2.0), step(1))
    assert more["soft"] == plain["soft"]
    assert 0 < more["hard"] - plain["hard"] <= 2


@pytest.mark.parametrize("whose", ["student", "teacher"])
def test_affinity_refuses_one_channel_whose_cosines_are_signs(whose: str) -> None:
    """Two scalars point the same way or opposite ways, so that the term would have no gradient."""
    told = context(1)
    features = getattr(told, f"{whose}_features")
    last = dataclasses.replace(features.last, shape=torch.Size((2, 1, SIDE, SIDE)), path="segmentation_head")
    flat = dataclasses.replace(told, **{f"{whose}_features": dataclasses.replace(features, last=last)})
    with pytest.raises(RequestError, match=r"at 'segmentation_head' have one channel: .* networks\.1\.taps"):
        build(EDGES["affinity"], flat)
    assert len(build(EDGES["affinity"], told)) == 2
