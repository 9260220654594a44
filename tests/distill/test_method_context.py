"""What methods are told, and how they are added up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from torch import nn

from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import NO_FEATURES, Feature, Features
from densedistill.distill.method_context import adapted, combined_terms, look, moved, own_terms, training_labels
from densedistill.distill.objective import LossTerm, Objective
from densedistill.distill.outputs import StepOutputs
from densedistill.distill.spec import Method, OwnContext, TermContext


class Parameters(BaseModel):
    weight: float = 1.0
    hard_weight: float = 1.0


def nothing(_outputs: StepOutputs) -> torch.Tensor:
    return torch.zeros(())


def method(
    name: str, seeds: list[int], *, term: str = "soft", adapt: Any = None, own_first: bool = False
) -> Method[Parameters]:
    """`seeds` keeps those of taught terms, and 0 for each time that the own ones are asked for."""

    def own(parameters: Parameters, _context: OwnContext) -> Sequence[LossTerm]:
        seeds.append(0)
        return (
            LossTerm(name="hard", fn=nothing, weight=parameters.hard_weight, alone_weight=1.0),
            LossTerm(name="perceptual", fn=nothing, weight=0.5),
        )

    def taught(parameters: Parameters, context: TermContext) -> Sequence[LossTerm]:
        seeds.append(context.seed)
        return (LossTerm(name=term, fn=nothing, weight=parameters.weight),)

    return Method(
        name=name,
        summary="",
        paper="",
        parameters=Parameters(),
        own=own,
        taught=taught,
        own_first=own_first,
        adapt=adapt,
    )


def context(**changes: Any) -> TermContext:
    plain = TermContext(
        student_taps={},
        teacher_taps={},
        student_features=NO_FEATURES,
        teacher_features=NO_FEATURES,
        student_output=torch.Size((2, 4)),
        teacher_output=torch.Size((2, 4)),
        teacher_network=nn.Identity(),
        probe={},
        images=8,
        batch_size=4,
        epochs=2,
        seed=3,
        pretrained="none",
        warn=print,
    )
    return dataclasses.replace(plain, **changes)


def test_methods_are_added_with_names_and_seeds_of_their_own() -> None:
    seeds: list[int] = []
    methods = [
        (method("first", seeds), Parameters(weight=0.9)),
        (method("second", seeds), Parameters(weight=2.0)),
        (method("third", seeds, term="third"), Parameters(weight=3.0)),
    ]
    terms = combined_terms(methods, context())
    assert [(term.name, term.weight, term.needs_teacher) for term in terms] == [
        ("soft", 0.9, True),
        ("hard", 1.0, False),
        ("perceptual", 0.5, False),
        ("second_soft", 2.0, True),
        ("third", 3.0, True),
    ]
    # The own terms are asked of the first method alone.
    assert seeds[:2] == [0, 3]
    assert len(set(seeds)) == len(seeds) == 4


@pytest.mark.parametrize(("own_first", "order"), [(False, ["soft", "hard", "perceptual"]), (True, None)])
def test_own_terms_come_after_the_taught_ones_or_before(own_first: bool, order: list[str] | None) -> None:
    made = combined_terms([(method("first", [], own_first=own_first), Parameters())], context())
    assert [term.name for term in made] == (order or ["hard", "perceptual", "soft"])


@pytest.mark.parametrize(("weight", "hard"), [(0.9, 0.1), (0.0, 1.0)])
def test_own_terms_keep_their_weight_where_something_is_taught(weight: float, hard: float) -> None:
    """Else they weigh what they do without a teacher, whatever a further method teaches."""
    parameters = Parameters(weight=weight, hard_weight=0.1)
    first, further = method("first", []), (method("second", [], term="second"), Parameters())
    expected = [("hard", hard), ("perceptual", 0.5)]
    for methods in ([(first, parameters)], [(first, parameters), further]):
        made = combined_terms(methods, context())
        assert [(term.name, term.weight) for term in made if not term.needs_teacher] == expected
    assert Objective(combined_terms([(first, parameters)], context())).needs_teacher == bool(weight)


def test_without_a_teacher_there_are_the_first_methods_own_terms() -> None:
    methods = [(method("first", []), Parameters(hard_weight=0.0)), (method("second", []), Parameters())]
    made = own_terms(methods, OwnContext(pretrained="none", warn=print))
    assert [(term.name, term.weight) for term in made] == [("hard", 1.0), ("perceptual", 0.5)]


def test_only_the_first_method_may_change_the_student() -> None:
    student = nn.Identity()
    plain, changing = method("plain", []), method("changing", [], adapt=lambda _parameters, _student, _context: None)
    assert adapted([(plain, Parameters())], student, context()) is None
    assert adapted([(changing, Parameters()), (plain, Parameters())], student, context()) is None
    with pytest.raises(RequestError, match=r"method.also names 'changing', .* and 'plain' one of method.also"):
        adapted([(plain, Parameters()), (changing, Parameters())], student, context())


def test_a_moved_student_is_read_where_it_has_gone() -> None:
    feature = Feature(path="deep", shape=torch.Size((2, 3, 4, 4)))
    features = Features(stages=(feature,), preactivations=(feature,), last=feature, final=None, embedding=feature)
    there = moved(context(student_features=features, student_taps={"deep": feature.shape}), "student")
    assert there.student_features.paths(("stages", "hint", "final", "embedding")) == ("student.deep",)
    assert dict(there.student_taps) == {"student.deep": feature.shape}


def test_looking_keeps_mode_and_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(5))
    network(torch.randn(2, 3, 6, 6))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    seen = look(network.train(), torch.randn(2, 3, 6, 6), ("1",), ())
    assert (seen.output, dict(seen.taps), seen.features) == ((2, 5), {"1": (2, 4, 4, 4)}, NO_FEATURES)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (torch.tensor([0, 2, 1]), True),
        (torch.tensor([0, 2]), False),
        (torch.tensor([0.0, 1.0, 0.5]), False),
        ([0, 2, 1], False),
        (None, False),
    ],
)
def test_classes_of_training_images_are_told_where_the_set_has_them(labels: Any, told: bool) -> None:
    class Train:
        def __init__(self) -> None:
            if labels is not None:
                self.labels = labels

        def __len__(self) -> int:
            return 3

    found = training_labels(SimpleNamespace(train=Train()))  # type: ignore[arg-type]
    assert (found is not None) == told
