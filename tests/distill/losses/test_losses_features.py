"""Feature matching: alignment of strides and tokens, projectors, and their initialisation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import FeatureMatching, as_map, feature_mse, pooled_cosine, to_smaller
from densedistill.distill.objective import LossTerm, Objective
from densedistill.distill.outputs import Prediction, StepOutputs


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def step(student: dict[str, Tensor], teacher: dict[str, Tensor]) -> StepOutputs:
    blank = torch.zeros(1)
    return StepOutputs(
        batch={"input": blank},
        student=Prediction(output=blank, taps=student),
        teacher=Prediction(output=blank, taps=teacher),
    )


def test_feature_mse_by_hand_and_no_gradient_to_the_teacher() -> None:
    student = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).requires_grad_()
    teacher = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).requires_grad_()
    loss = feature_mse(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(2.5)
    assert teacher.grad is None


def test_loss_equals_a_matrix_product_by_hand() -> None:
    matching = FeatureMatching([("a", "b")], [2], [3])
    student, teacher = noise(2, 2, 4, 4), noise(2, 3, 4, 4, seed=1)
    weight, bias = (parameter.detach() for parameter in matching.projectors[0].parameters())
    projected = torch.einsum("oc,bchw->bohw", weight[:, :, 0, 0], student) + bias[:, None, None]
    torch.testing.assert_close(matching(step({"a": student}, {"b": teacher})), (projected - teacher).square().mean())


def test_pooled_cosine_by_hand_and_at_its_bounds() -> None:
    student = torch.tensor([[[[1.0, 5.0]], [[0.0, 0.0]]], [[[2.0, 0.0]], [[0.0, 2.0]]]])
    teacher = torch.tensor([[[[0.0, 0.0]], [[7.0, 1.0]]], [[[1.0, 1.0]], [[1.0, 1.0]]]]).requires_grad_()
    assert student.shape == (2, 2, 1, 2)
    student.requires_grad_()
    loss = pooled_cosine(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx((1 - 0 + 1 - 1) / 2)
    assert teacher.grad is None
    feature = noise(3, 5, 4, 4)
    assert pooled_cosine(feature, 7.5 * feature).item() == pytest.approx(0, abs=1e-6)
    assert pooled_cosine(feature, -feature).item() == pytest.approx(2, abs=1e-6)
    assert pooled_cosine(torch.zeros(1, 2, 2, 2), noise(1, 2, 2, 2)).item() == 1
    with pytest.raises(RequestError, match="whose shapes agree"):
        pooled_cosine(feature, feature[:, :, :2])


def test_pooled_cosine_s_gradient_matches_finite_differences() -> None:
    teacher = noise(2, 3, 2, 2, seed=1).double()
    assert torch.autograd.gradcheck(
        lambda tap: pooled_cosine(tap, teacher), noise(2, 3, 2, 2).double().requires_grad_()
    )


def test_the_capacity_study_s_loss_is_the_distance_and_half_of_the_cosine() -> None:
    """Its projectors have no bias, so the whole loss can be written with matrices."""
    matching = FeatureMatching([("a", "b")], [2], [3], seed=4, cosine_weight=0.5, projection="linear")
    (weight,) = matching.projectors[0].parameters()
    student, teacher = noise(2, 2, 4, 4).double(), noise(2, 3, 4, 4, seed=1).double()
    projected = torch.einsum("oc,bchw->bohw", weight[:, :, 0, 0].double(), student)
    mine, theirs = projected.mean(dim=(2, 3)), teacher.mean(dim=(2, 3))
    cosine = (mine * theirs).sum(dim=1) / (mine.norm(dim=1) * theirs.norm(dim=1))
    expected = (projected - teacher).square().mean() + 0.5 * (1 - cosine).mean()
    torch.testing.assert_close(matching.double()(step({"a": student}, {"b": teacher})), expected)
    assert weight.abs().max() <= math.sqrt(6 / 5)
    wide = FeatureMatching([("a", "b")], [100], [300], projection="linear").projectors[0].get_parameter("weight")
    assert wide.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)


def test_pairs_count_alike_whatever_their_size() -> None:
    pairs = [("small", "small"), ("large", "large")]
    matching = FeatureMatching(pairs, [1, 1], [1, 1])
    features = {"small": noise(1, 1, 2, 2), "large": noise(1, 1, 8, 8)}
    teacher = {"small": noise(1, 1, 2, 2, seed=1), "large": noise(1, 1, 8, 8, seed=2)}
    alone = []
    for pair, projector in zip(pairs, matching.projectors, strict=True):
        single = FeatureMatching([pair], [1], [1])
        single.projectors[0] = projector
        alone.append(single(step(features, teacher)))
    torch.testing.assert_close(matching(step(features, teacher)), (alone[0] + alone[1]) / 2)


def test_strides_meet_at_the_smaller_map_in_each_dimension() -> None:
    student, teacher = to_smaller(noise(1, 1, 8, 3), noise(1, 1, 4, 6, seed=1))
    assert student.shape == teacher.shape == (1, 1, 4, 3)
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    pooled, _ = to_smaller(fine, torch.zeros(1, 1, 2, 2))
    assert pooled.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_tokens_become_a_map_in_row_order() -> None:
    tokens = torch.arange(12.0).view(1, 6, 2)
    feature = as_map(tokens, like=torch.zeros(1, 5, 4, 6))
    assert feature.shape == (1, 2, 2, 3)
    assert feature[0, 0].tolist() == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]


@pytest.mark.parametrize(
    ("tokens", "like", "grid"),
    [
        (64, (1, 3, 32, 32), (8, 8)),
        (15 * 23, (1, 3, 30, 45), (15, 23)),
        (49, (1, 196, 8), (7, 7)),
        (1, (1, 3, 7, 7), (1, 1)),
    ],
)
def test_token_grids(tokens: int, like: tuple[int, ...], grid: tuple[int, int]) -> None:
    assert as_map(torch.zeros(1, tokens, 2), torch.zeros(like)).shape[2:] == grid


@pytest.mark.parametrize("tokens", [2, 5, 50, 197, 30, 240])
def test_tokens_that_fill_no_square_are_refused(tokens: int) -> None:
    with pytest.raises(RequestError, match="tokens do not fill"):
        as_map(torch.zeros(1, tokens, 2), torch.zeros(1, 3, 14, 14))


def test_token_teacher_of_a_map_student_of_another_stride() -> None:
    matching = FeatureMatching([("stage", "block")], [4], [6])
    loss = matching(step({"stage": noise(2, 4, 16, 16)}, {"block": noise(2, 64, 6)}))
    assert loss.shape == ()
    loss.backward()


def test_every_projector_parameter_is_trained_through_the_objective() -> None:
    matching = FeatureMatching([("a", "a"), ("b", "b")], [2, 3], [4, 5])
    objective = Objective([LossTerm(name="feature", fn=matching, needs_teacher=True)])
    before = [parameter.detach().clone() for parameter in objective.parameters()]
    assert len(before) == 4
    taps = {"a": noise(2, 2, 4, 4).requires_grad_(), "b": noise(2, 3, 2, 2).requires_grad_()}
    teacher = {"a": noise(2, 4, 4, 4, seed=1), "b": noise(2, 5, 2, 2, seed=2)}
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    objective.total(objective(step(taps, teacher))).backward()
    optimizer.step()
    for parameter, old in zip(objective.parameters(), before, strict=True):
        assert parameter.grad is not None
        assert (parameter.grad != 0).all()
        assert not torch.equal(parameter, old)
    assert all(tap.grad is not None and (tap.grad != 0).any() for tap in taps.values())


def test_gradient_matches_finite_differences() -> None:
    matching = FeatureMatching([("a", "a")], [2], [3]).double()
    teacher = {"a": noise(1, 3, 2, 2, seed=1).double()}
    student = noise(1, 2, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda tap: matching(step({"a": tap}, teacher)), student)


def test_construction_leaves_the_global_generator_alone_and_repeats_by_seed() -> None:
    torch.manual_seed(5)
    untouched = torch.rand(3)
    torch.manual_seed(5)
    first = FeatureMatching([("a", "a")], [64], [32], seed=1)
    assert torch.equal(torch.rand(3), untouched)
    again, other = (FeatureMatching([("a", "a")], [64], [32], seed=seed) for seed in (1, 2))
    weights = [matching.projectors[0].get_parameter("weight") for matching in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert weights[0].std().item() == pytest.approx(1 / 8, rel=0.1)


def test_bfloat16_taps_are_matched_in_float32_under_autocast() -> None:
    matching = FeatureMatching([("a", "a")], [2], [3])
    student, teacher = noise(2, 2, 4, 4).bfloat16(), noise(2, 3, 4, 4, seed=1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = matching(step({"a": student}, {"a": teacher}))
    assert torch.equal(loss, matching(step({"a": student.float()}, {"a": teacher.float()})))


def test_faults_of_the_request() -> None:
    with pytest.raises(RequestError, match="no pair"):
        FeatureMatching([], [], [])
    with pytest.raises(RequestError, match="2 pairs of taps, 1 student"):
        FeatureMatching([("a", "a"), ("b", "b")], [1], [1, 2])
    with pytest.raises(RequestError, match="1 or more"):
        FeatureMatching([("a", "a")], [0], [1])
    matching = FeatureMatching([("layer1", "layer1")], [2], [2])
    with pytest.raises(RequestError, match="Did you mean 'layer2'"):
        matching(step({"layer2": noise(1, 2, 4, 4)}, {"layer1": noise(1, 2, 4, 4)}))
    with pytest.raises(RequestError, match="3 channels and its projector takes 2"):
        matching(step({"layer1": noise(1, 3, 4, 4)}, {"layer1": noise(1, 2, 4, 4)}))
    with pytest.raises(RequestError, match=r"map .* or tokens"):
        matching(step({"layer1": noise(1, 2)}, {"layer1": noise(1, 2, 4, 4)}))
