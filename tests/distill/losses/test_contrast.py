"""CRD: the estimator against its definition, a step of the banks by hand, and a restart."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import ContrastiveDistillation, contrast, nce_loss

Noise = Callable[..., Tensor]


def nce_by_definition(positive: list[float], negatives: list[list[float]], images: int) -> float:
    total = 0.0
    for p, row in zip(positive, negatives, strict=True):
        noise = len(row) / images
        total -= math.log(p / (p + noise)) + sum(math.log(noise / (q + noise)) for q in row)
    return total / len(positive)


@pytest.mark.parametrize("images", [1, 3])
def test_estimator_equals_its_definition(noise: Noise, images: int) -> None:
    positive, negatives = noise(images), noise(images, 5, seed=1)
    expected = nce_by_definition(positive.exp().tolist(), negatives.exp().tolist(), 50)
    assert nce_loss(positive, negatives, 50).item() == pytest.approx(expected, rel=1e-9)
    inputs = (positive.requires_grad_(), negatives.requires_grad_())
    assert torch.autograd.gradcheck(lambda p, n: nce_loss(p, n, 50), inputs)


def test_best_score_is_the_ratio_of_the_pairs_to_the_noise() -> None:
    # One image of 4 with each of the others as a negative: where p = 1 both kinds of pair balance at h = 1/(1 + N/M).
    loss = nce_loss(torch.zeros(1).double(), torch.zeros(1, 3).double(), 4)
    assert loss.item() == pytest.approx(math.log(1.75) + 3 * math.log(1.75 / 0.75), rel=1e-9)


def small(**settings: object) -> ContrastiveDistillation:
    return ContrastiveDistillation(3, 5, 8, embedding=4, negatives=6, **settings).double()  # type: ignore[arg-type]


def by_hand(
    module: ContrastiveDistillation, student: Tensor, teacher: Tensor, index: Tensor, constants: list[float] | None
) -> tuple[float, list[float]]:
    """Loss of one step, and the constants Z it used: those given, or the first batch's."""
    draws = ContrastiveDistillation(3, 5, 8, embedding=4, negatives=6).negatives
    draws.calls = module.negatives.calls
    partners = draws(index)
    sides = (
        (module.student_embedding, student, module.teacher_bank),
        (module.teacher_embedding, teacher, module.student_bank),
    )
    total, used = 0.0, []
    for side, (layer, feature, bank) in enumerate(sides):
        anchors = feature @ layer.weight.detach().T + layer.bias.detach()
        anchors = anchors / anchors.norm(dim=1, keepdim=True)
        positive = [float((anchors[b] @ bank[i] / 0.07).exp()) for b, i in enumerate(index.tolist())]
        negatives = [[float((anchors[b] @ bank[j] / 0.07).exp()) for j in row] for b, row in enumerate(partners)]
        everything = positive + [value for row in negatives for value in row]
        z = sum(everything) / len(everything) * 8 if constants is None else constants[side]
        used.append(z)
        total += nce_by_definition([p / z for p in positive], [[q / z for q in row] for row in negatives], 8)
    return total, used


def test_two_steps_and_the_banks_by_hand(noise: Noise) -> None:
    module = small()
    student, teacher, index = noise(2, 3), noise(2, 5, seed=1), torch.tensor([6, 1])
    expected, constants = by_hand(module, student, teacher, index, None)
    before = module.student_bank.clone()
    assert module(student, teacher, index).item() == pytest.approx(expected, rel=1e-5)
    embedded = student @ module.student_embedding.weight.T + module.student_embedding.bias
    embedded = embedded / embedded.norm(dim=1, keepdim=True)
    for row, image in enumerate(index.tolist()):
        moved = 0.5 * before[image] + 0.5 * embedded[row]
        torch.testing.assert_close(module.student_bank[image], (moved / moved.norm()).detach())
    others = [image for image in range(8) if image not in (6, 1)]
    assert torch.equal(module.student_bank[others], before[others])
    # The second step compares with the moved entries and keeps the first step's constants.
    expected, _ = by_hand(module, teacher[:, :3], noise(2, 5, seed=2), index, constants)
    assert module(teacher[:, :3], noise(2, 5, seed=2), index).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_matches_finite_differences_and_trains_both_embeddings(noise: Noise) -> None:
    module = small().eval()
    student, teacher, index = noise(2, 3).requires_grad_(), noise(2, 5, seed=1), torch.tensor([6, 1])
    module(student, teacher, index)

    def loss(feature: Tensor) -> Tensor:
        module.negatives.calls = 1
        return module(feature, teacher, index)

    assert torch.autograd.gradcheck(loss, student)
    module.train()(student, teacher, index).backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).any()


def test_banks_stay_as_they_are_in_eval_mode(noise: Noise) -> None:
    module = small().eval()
    before = module.student_bank.clone(), module.teacher_bank.clone()
    module(noise(2, 3), noise(2, 5, seed=1), torch.tensor([6, 1]))
    assert torch.equal(module.student_bank, before[0])
    assert torch.equal(module.teacher_bank, before[1])


def test_a_restart_goes_on_to_the_same_loss(noise: Noise) -> None:
    steps = [(noise(2, 3, seed=s), noise(2, 5, seed=s + 9), torch.tensor([s, s + 3])) for s in range(3)]
    undisturbed = small()
    for step in steps[:2]:
        undisturbed(*step)
    resumed = small()
    resumed.load_state_dict(undisturbed.state_dict())
    assert torch.equal(resumed(*steps[2]), undisturbed(*steps[2]))


def test_maps_and_tokens_are_averaged(noise: Noise) -> None:
    student, teacher, index = noise(2, 3, 2, 2), noise(2, 9, 5, seed=1), torch.tensor([6, 1])
    expected = small()(student.mean((2, 3)), teacher.mean(1), index)
    torch.testing.assert_close(small()(student, teacher, index), expected)


def test_every_process_remembers_what_all_have_seen(noise: Noise, monkeypatch: pytest.MonkeyPatch) -> None:
    module = small()
    student, teacher, index = noise(2, 3), noise(2, 5, seed=1), torch.tensor([6, 1])
    other = {(2, 4): torch.nn.functional.normalize(noise(2, 4, seed=3)), (2,): torch.tensor([0, 5])}
    other_mean = torch.tensor([1.5])
    (alone := small())(student, teacher, index)

    def all_gather(parts: list[Tensor], values: Tensor) -> None:
        parts[0].copy_(values)
        parts[1].copy_(other.get(tuple(values.shape), other_mean))

    monkeypatch.setattr(contrast, "joined", lambda: True)
    monkeypatch.setattr(contrast.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(contrast.distributed, "all_gather", all_gather)
    before = module.teacher_bank.clone()
    module(student, teacher, index)
    moved = (module.teacher_bank != before).any(1).nonzero().flatten()
    assert moved.tolist() == [0, 1, 5, 6]
    expected = torch.nn.functional.normalize(before[[0, 5]] + other[2, 4], dim=1)
    torch.testing.assert_close(module.teacher_bank[[0, 5]], expected)
    # Z is M times the mean of both processes' exponentials.
    both = (alone.log_normaliser.exp() + len(before) * other_mean.exp()) / 2
    torch.testing.assert_close(module.log_normaliser, both.log())


def test_faults_of_the_request(noise: Noise) -> None:
    with pytest.raises(RequestError, match="momentum 1"):
        small(momentum=1.0)
    with pytest.raises(RequestError, match="temperature 0"):
        small(temperature=0.0)
    with pytest.raises(RequestError, match="negatives 0"):
        ContrastiveDistillation(3, 5, 8, negatives=0)
    with pytest.raises(RequestError, match="4 channels and its projector takes 3"):
        small()(noise(2, 4), noise(2, 5), torch.tensor([0, 1]))
    with pytest.raises(RequestError, match=r"\(1,\) do not fit 2 images"):
        small()(noise(2, 3), noise(2, 5), torch.tensor([0]))
    with pytest.raises(RequestError, match=r"\(batch, negatives\)"):
        nce_loss(torch.zeros(2), torch.zeros(3, 4), 8)
