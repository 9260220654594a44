"""Whole images for networks that halve them: padded by reflection and cropped back, or left alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from densedistill.backbones import create
from densedistill.tasks.padding import predict


class Seen(nn.Module):
    """Answers with its first channel, and keeps what it was given."""

    def forward(self, images: Tensor) -> Tensor:
        self.given = images
        return images[:, :1]


class AnySize(Seen):
    size_multiple = 1


class Eighths(Seen):
    size_multiple = 8


@pytest.mark.parametrize(
    ("network", "given"), [(Seen(), (64, 96)), (Eighths(), (48, 72)), (AnySize(), (41, 70))], ids=["unet", "8", "any"]
)
def test_sizes_are_made_multiples_and_answers_cropped_back(network: Seen, given: tuple[int, int]) -> None:
    images = torch.rand(2, 3, 41, 70)
    assert torch.equal(predict(network, images), images[:, :1])
    assert network.given.shape == (2, 3, *given)
    assert torch.equal(network.given[..., 41:, :70], images.flip(2)[..., 1 : given[0] - 40, :])


def test_images_smaller_than_their_padding_repeat_their_border() -> None:
    network, images = Seen(), torch.rand(1, 3, 10, 40)
    predict(network, images)
    assert torch.equal(network.given[..., 10:, :40], images[..., 9:, :].expand(-1, -1, 22, -1))


def test_a_published_edge_detector_answers_as_it_does_for_its_authors() -> None:
    network, images = create("pidinet-tiny").eval(), torch.rand(1, 3, 33, 50)
    with torch.inference_mode():
        assert torch.equal(predict(network, images), network(images))
