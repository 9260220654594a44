"""SimKD: the projector's sizes, the frozen classifier, and that training and answering agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import ReusedClassifier, simkd_loss

Noise = Callable[..., Tensor]


def test_loss_equals_a_mean_of_squares(noise: Noise) -> None:
    projected, teacher = noise(2, 3, 2, 2).requires_grad_(), noise(2, 3, 2, 2, seed=1)
    pairs = zip(projected.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    expected = sum((a - b) ** 2 for a, b in pairs) / 24
    assert simkd_loss(projected, teacher).item() == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(lambda p: simkd_loss(p, teacher), projected)


def test_answers_with_the_teachers_classifier_on_the_feature_it_trains(noise: Noise) -> None:
    classifier = nn.Linear(4, 10).double()
    head = ReusedClassifier(3, 4, classifier, teacher_size=(2, 2)).double().eval()
    student = noise(2, 3, 4, 4)
    small = student.unflatten(3, (2, 2)).mean(4).unflatten(2, (2, 2)).mean(3)
    projected = head.projector(small)
    torch.testing.assert_close(head(student), classifier(projected.mean((2, 3))))
    teacher = noise(2, 4, 2, 2, seed=1)
    torch.testing.assert_close(head.loss(student, teacher), (projected - teacher).square().mean())
    # A student that projects exactly onto its teacher gives the teacher's logits.
    head.projector = nn.Identity()
    head.student_channels = 4
    torch.testing.assert_close(head(teacher), classifier(teacher.mean((2, 3))))


def test_projector_has_the_papers_parameters() -> None:
    head = ReusedClassifier(64, 256, nn.Linear(256, 100), (8, 8))
    inside = 128
    expected = 64 * inside + 9 * inside**2 + inside * 256 + 2 * (inside + inside + 256)
    assert sum(value.numel() for value in head.projector.parameters()) == expected


def test_classifier_is_a_frozen_copy_and_part_of_the_state(noise: Noise) -> None:
    classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))
    head = ReusedClassifier(2, 4, classifier, (2, 2)).train()
    assert head.projector.training
    assert not any(module.training for module in head.classifier.modules())
    assert all(value.requires_grad for value in classifier.parameters())
    head(noise(2, 2, 2, 2).float()).sum().backward()
    assert all(value.grad is None for value in (*classifier.parameters(), *head.classifier.parameters()))
    assert {name.split(".")[0] for name in head.state_dict()} == {"projector", "classifier"}
    other = ReusedClassifier(2, 4, nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)), (2, 2), seed=1)
    other.load_state_dict(head.state_dict())
    student = noise(2, 2, 2, 2).float()
    assert torch.equal(other.eval()(student), head.eval()(student))


def test_every_projector_weight_is_trained(noise: Noise) -> None:
    head = ReusedClassifier(2, 4, nn.Linear(4, 3), (2, 2))
    head.loss(noise(4, 2, 2, 2).float(), noise(4, 4, 2, 2, seed=1).float()).backward()
    for parameter in head.projector.parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).any()


def test_faults_of_the_request(noise: Noise) -> None:
    with pytest.raises(RequestError, match="reduction 5 leaves no channel of 4"):
        ReusedClassifier(2, 4, nn.Linear(4, 3), (2, 2), reduction=5)
    with pytest.raises(RequestError, match="a side of 0"):
        ReusedClassifier(2, 4, nn.Linear(4, 3), (0, 2))
    head = ReusedClassifier(2, 4, nn.Linear(4, 3), (1, 1))
    with pytest.raises(RequestError, match="3 channels and its projector takes 2"):
        head(noise(2, 3, 2, 2))
    with pytest.raises(RequestError, match="no variance"):
        head(noise(1, 2, 2, 2).float())
