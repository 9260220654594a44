"""Predictions in bounded memory: how much is taken at once, and that it changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.prediction import bounded
from densedistill.distill.prediction.bounded import Bounded, pixels_of_tile
from densedistill.distill.prediction.footprint import LiveBytes, bytes_per_pixel
from densedistill.distill.prediction.tiling import Network


class Recorded(nn.Conv2d):
    """A convolution that remembers the shapes it was given."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(3, 8, 3, padding=1)
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        return super().forward(images)


def plain(network: Network, images: Tensor) -> Tensor:
    return network(images)


def test_live_bytes_count_what_is_alive_and_each_storage_once() -> None:
    with LiveBytes() as counted:
        first = torch.zeros(1000)
        second = first.view(10, 100)[:5]
        assert counted.live == 4000
        del first, second
        assert counted.live == 0
        torch.zeros(100).add_(1)
    assert counted.peak == 4000


def test_a_convolution_s_footprint_is_its_output() -> None:
    network = nn.Conv2d(3, 8, 3, padding=1).eval()
    assert bytes_per_pixel(network, torch.rand(4, 3, 100, 200)) == 8 * 4
    twice = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 3, padding=1)).eval()
    assert bytes_per_pixel(twice, torch.rand(1, 3, 33, 40)) == (8 + 2) * 4


@torch.inference_mode()
def test_what_fits_is_predicted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = Recorded(), torch.rand(2, 3, 100, 120)
    monkeypatch.setitem(bounded.BUDGET, "cpu", 2 * 100 * 120 * 32)
    predict = Bounded(plain, reach=32)
    assert torch.equal(predict(network, images), predict(network, images))
    # One measurement for both predictions.
    assert network.shapes == [(1, 3, 64, 64), (2, 3, 100, 120), (2, 3, 100, 120)]
    network.shapes.clear()
    predict(network, images[..., :64, :64])
    assert network.shapes == [(2, 3, 64, 64)]


@torch.inference_mode()
def test_a_batch_goes_in_parts_before_an_image_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = Recorded(), torch.rand(3, 3, 100, 120)
    whole = network(images)
    network.shapes.clear()
    monkeypatch.setitem(bounded.BUDGET, "cpu", 2 * 100 * 120 * 32)
    torch.testing.assert_close(Bounded(plain, reach=32)(network, images), whole)
    assert network.shapes[1:] == [(2, 3, 100, 120), (1, 3, 100, 120)]


@torch.inference_mode()
def test_a_large_image_goes_in_tiles() -> None:
    network, images = Recorded(), torch.rand(2, 3, 150, 260)
    whole = network(images)
    network.shapes.clear()
    torch.testing.assert_close(Bounded(plain, reach=32, most=96 * 128)(network, images), whole)
    assert len(network.shapes) > 4
    assert all(shape[0] == 1 and shape[2] * shape[3] <= 96 * 128 for shape in network.shapes)


def test_a_small_batch_is_not_even_measured() -> None:
    network = Recorded()
    Bounded(plain, reach=32)(network, torch.rand(4, 3, 64, 64))
    assert network.shapes == [(4, 3, 64, 64)]


def test_a_tile_has_a_least_side() -> None:
    assert pixels_of_tile(96, 32) == 96 * 96
    with pytest.raises(RequestError, match="give 96 or more"):
        pixels_of_tile(95, 32)
