"""Losses as terms: what they read of a step, and what the course of training does to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import Feature
from densedistill.distill.losses import (
    FeatureMatching,
    LearnedTemperature,
    LogitHead,
    OnFeatures,
    OnHeads,
    OnImages,
    OnLogits,
    OnStages,
    ReadAs,
    WarmedUp,
    ctkd_loss,
    curriculum,
    epoch_number,
    feature_mse,
    kd_loss,
    mixed_dkd_loss,
    standardise,
)
from densedistill.distill.outputs import Prediction, StepOutputs

Noise = Callable[..., Tensor]


def step(noise: Noise, *, progress: float = 0.0, **batch: Tensor) -> StepOutputs:
    def prediction(seed: int) -> Prediction:
        taps = {"maps": noise(4, 3, 5, 5, seed=seed), "late": noise(4, 5, 5, 3, seed=seed + 1)}
        return Prediction(output=noise(4, 6, seed=seed + 2), taps=taps)

    plain = {"target": torch.arange(4), "index": torch.arange(4) * 2}
    return StepOutputs(batch={**plain, **batch}, student=prediction(0), teacher=prediction(10), progress=progress)


MAPS = Feature(path="maps", shape=torch.Size((4, 3, 5, 5)))
LATE = Feature(path="late", shape=torch.Size((4, 3, 5, 5)), channels_last=True)


def test_logits_are_standardised_and_labels_passed_on(noise: Noise) -> None:
    mixing = {"mixed_target": torch.tensor([3, 2, 1, 0]), "mix": torch.tensor([0.1, 0.4, 0.7, 1.0])}
    outputs = step(noise, **mixing)
    assert outputs.teacher is not None
    student, teacher = outputs.student.output, outputs.teacher.output

    def dkd(mine: Tensor, theirs: Tensor, target: Tensor, **labels: Tensor) -> Tensor:
        return mixed_dkd_loss(mine, theirs, target, 1.0, 8.0, 4.0, **labels)

    def kd(mine: Tensor, theirs: Tensor) -> Tensor:
        return kd_loss(mine, theirs, 2.0)

    expected = mixed_dkd_loss(student, teacher, outputs.target, 1.0, 8.0, 4.0, **mixing)
    assert torch.equal(OnLogits(loss=dkd, labelled=True)(outputs), expected)
    assert torch.equal(
        OnLogits(loss=kd, standardised=True)(outputs), kd_loss(standardise(student), standardise(teacher), 2.0)
    )


def test_epochs_count_from_one() -> None:
    assert [epoch_number(progress) for progress in (0.0, 0.99, 1.0, 19.5)] == [1, 1, 2, 20]


def test_a_warm_up_scales_value_and_gradient_and_owns_its_term(noise: Noise) -> None:
    layer = nn.Linear(6, 1, dtype=torch.float64)

    class Term(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, outputs: StepOutputs) -> Tensor:
            return self.layer(outputs.student.output).square().mean()

    term = Term()
    (full,) = torch.autograd.grad(term(step(noise)), layer.weight)
    warmed = WarmedUp(term, 4)
    assert dict(warmed.named_parameters()).keys() == {"term.layer.weight", "term.layer.bias"}
    for progress, share in ((0.0, 0.05), (1.5, 0.4), (3.0, 0.8), (3.9, 1.0), (99.0, 1.0)):
        (gradient,) = torch.autograd.grad(warmed(step(noise, progress=progress)), layer.weight)
        torch.testing.assert_close(gradient, share * full)
    # Twenty epochs are the authors' own: epoch / 20, counted from 1.
    longest = WarmedUp(lambda _outputs: torch.ones(()), 20)
    shares = [float(longest(step(noise, progress=float(epoch)))) for epoch in (0, 1, 18, 19, 20)]
    assert shares == pytest.approx([0.05, 0.1, 0.95, 1.0, 1.0])
    with pytest.raises(RequestError, match="a warm-up of 0 epochs"):
        WarmedUp(term, 0)


@pytest.mark.parametrize(("progress", "epoch"), [(0.0, 1), (4.9, 5), (30.0, 31)])
def test_the_learned_temperature_works_against_the_student_as_the_curriculum_says(
    noise: Noise, progress: float, epoch: int
) -> None:
    term, outputs = LearnedTemperature(epochs=10.0), step(noise, progress=progress)
    assert outputs.teacher is not None
    level = term.temperature.level.detach().clone().requires_grad_()
    plain = ctkd_loss(outputs.student.output, outputs.teacher.output, 1.0 + 20.0 * level.sigmoid())
    loss = term(outputs)
    torch.testing.assert_close(loss, plain)
    (along,) = torch.autograd.grad(plain, level)
    (against,) = torch.autograd.grad(loss, term.temperature.level)
    torch.testing.assert_close(against, -curriculum(epoch, 10.0) * along)
    with pytest.raises(RequestError, match="has no course"):
        LearnedTemperature(epochs=0.0)


def test_pairs_are_read_in_one_layout_and_added_up(noise: Noise) -> None:
    outputs = step(noise)
    assert outputs.teacher is not None
    mine, theirs = outputs.student.taps, outputs.teacher.taps
    expected = feature_mse(mine["maps"], theirs["late"].movedim(3, 1)) + feature_mse(mine["maps"], theirs["maps"])
    term = OnFeatures([(MAPS, LATE), (MAPS, MAPS)], [feature_mse, feature_mse])
    torch.testing.assert_close(term(outputs), expected)
    matching = FeatureMatching([("maps", "late")], [3], [3], seed=1).double()
    projected = matching.projectors[0](mine["maps"])
    torch.testing.assert_close(
        ReadAs([(MAPS, LATE)], matching)(outputs), feature_mse(projected, theirs["late"].movedim(3, 1))
    )
    with pytest.raises(RequestError, match="1 losses came for 2 pairs"):
        OnFeatures([(MAPS, MAPS), (LATE, LATE)], [feature_mse])


def test_modules_of_pairs_are_owned_once() -> None:
    layers = [nn.Bilinear(3, 3, 1), nn.Bilinear(3, 3, 1)]
    term = OnFeatures([(MAPS, MAPS), (LATE, LATE)], layers)
    assert len(list(term.parameters())) == 4


class Told(nn.Module):
    """Remembers what it is given."""

    def forward(self, *given: Any) -> Tensor:
        self.given = given
        return torch.zeros(())


def test_stages_and_image_numbers_reach_their_module(noise: Noise) -> None:
    outputs, told = step(noise), Told()
    assert outputs.teacher is not None
    OnStages([(MAPS, MAPS), (LATE, LATE)], told)(outputs)
    mine, theirs = told.given
    assert torch.equal(mine[0], outputs.student.taps["maps"])
    assert torch.equal(theirs[1], outputs.teacher.taps["late"].movedim(3, 1))
    OnImages((MAPS, LATE), told)(outputs)
    assert torch.equal(told.given[2], outputs.batch["index"])


def test_heads_answer_in_the_students_place(noise: Noise) -> None:
    heads = [LogitHead(3, 6, width=4, seed=seed).double() for seed in (1, 2)]
    loss = OnLogits(loss=lambda mine, theirs: kd_loss(mine, theirs, 1.0))
    outputs = step(noise)
    expected = [
        loss(dataclasses.replace(outputs, student=Prediction(output=head(outputs.student.taps["maps"]), taps={})))
        for head in heads
    ]
    torch.testing.assert_close(OnHeads([MAPS, MAPS], heads, loss)(outputs), expected[0] + expected[1])
    with pytest.raises(RequestError, match="2 heads came for 1 features"):
        OnHeads([MAPS], heads, loss)
