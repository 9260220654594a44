"""Test-time augmentation: what is averaged, and what it may not change."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from densedistill.distill.evaluation import evaluate
from densedistill.distill.prediction.views import View, Views, averaged, dihedral, flips, mirrors, shifts


def by_column(images: Tensor) -> Tensor:
    """Two logits: the sums of the left and of the right half."""
    left, right = images.sum((1, 2)).chunk(2, dim=1)
    return torch.stack([left.sum(1), right.sum(1)], dim=1)


def test_probabilities_are_averaged_and_not_logits() -> None:
    images = torch.zeros(1, 1, 1, 2)
    images[..., 0] = 2.0
    found = averaged(by_column, images, flips, lambda network, given: network(given), lambda raw: raw.softmax(1))
    # One view says sigmoid(2) for the left half, the other for the right.
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5]]))
    alone = averaged(
        by_column,
        images,
        lambda given: [View(given)],
        lambda network, given: network(given),
        lambda raw: raw.softmax(1),
    )
    torch.testing.assert_close(alone[0, 0], torch.sigmoid(torch.tensor(2.0)))


def test_logits_of_views_are_not_what_is_averaged() -> None:
    images = torch.tensor([[[[3.0, 0.0]]]])
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
        found = averaged(network, images, flips, lambda net, given: net(given), lambda raw: raw.softmax(1))
    expected = (torch.sigmoid(torch.tensor(3.0)) + torch.sigmoid(torch.tensor(6.0))) / 2
    torch.testing.assert_close(found[0, 0], expected)
    assert abs(float(expected) - float(torch.sigmoid(torch.tensor(4.5)))) > 1e-3


def test_shifts_move_by_a_sixteenth_and_repeat_the_border() -> None:
    images = torch.rand(2, 3, 32, 32)
    views = [view.images for view in shifts(images)]
    assert len(views) == 10
    assert torch.equal(views[0], images)
    assert torch.equal(views[1], images.flip(-1))
    down = views[2]
    assert torch.equal(down[..., 2:, :], images[..., :-2, :])
    assert torch.equal(down[..., :2, :], images[..., :1, :].expand(-1, -1, 2, -1))
    right = views[6]
    assert torch.equal(right[..., 2:], images[..., :-2])
    assert all(view.shape == images.shape for view in views)
    assert len({view.sum().item() for view in views}) > 4


def plain(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return network(images)


@pytest.mark.parametrize(("views", "count"), [(mirrors, 2), (dihedral, 8)])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_map_s_views_are_undone(views: Views, count: int, scale: int) -> None:
    images = torch.rand(2, 3, 5, 7)
    assert len({view.images.sum(1).flatten().tolist().__repr__() for view in views(images)}) == count

    def enlarge(given: Tensor) -> Tensor:
        return given.repeat_interleave(scale, -1).repeat_interleave(scale, -2)

    for view in views(images):
        torch.testing.assert_close(view.undo(enlarge(view.images)), enlarge(images), rtol=0, atol=0)


def test_self_ensemble_is_the_symmetric_part_of_a_linear_filter() -> None:
    kernel = torch.rand(1, 1, 3, 3)
    symmetric = sum(torch.rot90(side, turns, (2, 3)) for side in (kernel, kernel.flip(3)) for turns in range(4)) / 8
    images = torch.rand(2, 1, 6, 9)
    found = averaged(lambda given: conv2d(given, kernel, padding=1), images, dihedral, plain, torch.clone)
    torch.testing.assert_close(found, conv2d(images, symmetric, padding=1))


def test_evaluation_reads_the_mean_and_leaves_plain_figures_alone(tiny: ModuleType) -> None:
    spec = tiny.tiny_spec("cls")
    data = spec.load_data(tiny.TinyOptions())
    torch.manual_seed(0)
    network = tiny.TinyNet("cls").eval()
    with torch.no_grad():
        # A network that tells left from right, unlike one that pools.
        network.stem[0].weight[:, :, :, 2] += 2.0

    def metrics(**how: object) -> dict[str, float]:
        return dict(
            evaluate(
                network,
                data.val,
                spec=spec,
                metric=spec.metric.make(tiny.TinyOptions(), data),
                device=torch.device("cpu"),
                batch_size=5,
                **how,  # type: ignore[arg-type]
            ).metrics
        )

    plain = metrics()
    assert metrics(views=lambda images: [View(images)]) == pytest.approx(plain)
    both = metrics(views=flips)
    assert both["nll"] != pytest.approx(plain["nll"], rel=1e-6)
    assert metrics(views=lambda images: [View(images.flip(-1)), View(images)]) == pytest.approx(both)
