"""What methods are told, and how they are added up."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from torch import nn

from densedistill.distill.errors import RequestError
from densedistill.distill.features import Feature, Features
from densedistill.distill.method_context import adapted, combined_terms, look, moved, training_labels
from densedistill.distill.objective import LossTerm
from densedistill.distill.spec import Method, Needs, TermContext


class Parameters(BaseModel):
    weight: float = 1.0


def method(name: str, seeds: list[int], *, term: str = "soft", adapt: Any = None) -> Method:
    def terms(parameters: Parameters, context: TermContext) -> Sequence[LossTerm]:
        seeds.append(context.seed)
        return (
            LossTerm(name=term, fn=lambda _outputs: torch.zeros(()), weight=parameters.weight, needs_teacher=True),
            LossTerm(name="hard", fn=lambda _outputs: torch.zeros(())),
        )

    return Method(name=name, summary="", paper="", parameters=Parameters(), terms=terms, needs=Needs(), adapt=adapt)


def context(**changes: Any) -> TermContext:
    plain: dict[str, Any] = {"student_taps": {}, "teacher_taps": {}, "seed": 3, "pretrained": "none", "warn": print}
    return TermContext(has_teacher=True, **plain | changes)


def test_methods_are_added_with_names_and_seeds_of_their_own() -> None:
    seeds: list[int] = []
    methods = [
        (method("first", seeds), Parameters(weight=0.9)),
        (method("second", seeds), Parameters(weight=2.0)),
        (method("third", seeds, term="third"), Parameters(weight=3.0)),
    ]
    terms = combined_terms(methods, context())
    assert [(term.name, term.weight) for term in terms] == [
        ("soft", 0.9),
        ("hard", 1.0),
        ("second_soft", 2.0),
        ("third", 3.0),
    ]
    assert seeds[0] == 3
    assert len(set(seeds)) == 3


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
    assert there.student_features is not None
    assert there.student_features.paths(("stages", "hint", "final", "embedding")) == ("student.deep",)
    assert dict(there.student_taps) == {"student.deep": feature.shape}


def test_looking_keeps_mode_and_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(5))
    network(torch.randn(2, 3, 6, 6))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    seen = look(network.train(), torch.randn(2, 3, 6, 6), ("1",), ())
    assert (seen.output, dict(seen.taps), seen.features) == ((2, 5), {"1": (2, 4, 4, 4)}, None)
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
