"""Which way each method's term points, measured on the term itself."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.doctor.direction import direction
from densedistill.distill.features.sources import NO_FEATURES
from densedistill.distill.method_context import combined_terms
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import Prediction, StepOutputs
from densedistill.distill.spec import TermContext
from densedistill.tasks import get

B, K = 8, 10
SHAPE = torch.Size((B, K))
CONTEXT = TermContext(
    student_taps={},
    teacher_taps={},
    student_features=NO_FEATURES,
    teacher_features=NO_FEATURES,
    student_output=SHAPE,
    teacher_output=SHAPE,
    teacher_network=nn.Identity(),
    probe={},
    images=100,
    labels=torch.arange(100) % K,
    batch_size=B,
    epochs=50,
    seed=0,
    pretrained="none",
    warn=lambda _text: None,
)


def step(shape: tuple[int, ...] = (B, K), mixed: bool = False) -> StepOutputs:
    target = torch.arange(shape[0]) % K if len(shape) == 2 else torch.rand(shape)
    batch = {"input": torch.zeros(shape[0], 3, 8, 8), "target": target, "index": torch.arange(shape[0])}
    if mixed:
        batch |= {"mixed_target": target.flip(0), "mix": torch.full((shape[0],), 0.6)}
    answer = Prediction(output=torch.zeros(shape), taps={})
    return StepOutputs(batch=batch, student=answer, teacher=answer, progress=50.0)


def taught(method: str) -> LossTerm:
    chosen = get("cls").methods[method]
    return next(term for term in combined_terms([(chosen, chosen.parameters)], CONTEXT) if term.needs_teacher)


def turned(term: LossTerm) -> LossTerm:
    """The term with student and teacher exchanged."""

    def fn(outputs: StepOutputs) -> Tensor:
        assert outputs.teacher is not None
        exchanged = StepOutputs(
            batch=outputs.batch, student=outputs.teacher, teacher=outputs.student, progress=outputs.progress
        )
        return term.fn(exchanged)

    return LossTerm(name=term.name, fn=fn, needs_teacher=True)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("method", ["kd", "dkd", "mlkd", "nkd", "wttm", "ctkd"])
def test_methods_point_to_the_student_and_turned_ones_do_not(method: str, mixed: bool) -> None:
    term = taught(method)
    assert direction(term, step(mixed=mixed)) == "teacher to student"
    assert direction(turned(term), step(mixed=mixed)) == "student to teacher"


@pytest.mark.parametrize("method", ["lskd", "dist"])
def test_losses_that_treat_both_alike_have_no_direction(method: str) -> None:
    assert direction(taught(method), step()) == "none"


def bernoulli(first: Tensor, second: Tensor) -> Tensor:
    """KL of pixels' probabilities from logits."""
    p = torch.sigmoid(first)
    log = torch.nn.functional.logsigmoid
    return (p * (log(first) - log(second)) + (1 - p) * (log(-first) - log(-second))).mean()


@pytest.mark.parametrize(("swapped", "expected"), [(False, "teacher to student"), (True, "student to teacher")])
def test_maps_of_one_channel(swapped: bool, expected: str) -> None:
    def fn(outputs: StepOutputs) -> Tensor:
        pair = (outputs.taught().output, outputs.student.output)
        return bernoulli(*(reversed(pair) if swapped else pair))

    assert direction(LossTerm(name="map", fn=fn, needs_teacher=True), step((2, 1, 4, 4))) == expected


@pytest.mark.parametrize("power", [1, 2])
def test_distances_have_no_direction(power: int) -> None:
    def fn(outputs: StepOutputs, power: int) -> Tensor:
        return (outputs.taught().output - outputs.student.output).abs().pow(power).mean()

    term = LossTerm(name="l", fn=functools.partial(fn, power=power), needs_teacher=True)
    assert direction(term, step((2, 3, 4, 4))) == "none"
