"""Tiles: they cover the image once, and what they make together is what the whole image makes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.prediction.tiling import ALIGNMENT, Network, in_tiles, spans, tiles


def plain(network: Network, images: Tensor) -> Tensor:
    return network(images)


def padded(network: Network, images: Tensor) -> Tensor:
    """As the dense tasks do: to multiples of 32 by reflection, and cropped back."""
    height, width = images.shape[-2:]
    answer = network(F.pad(images, (0, -width % 32, 0, -height % 32), mode="reflect"))
    return answer[..., :height, :width]


def convolutions(*, scale: int = 1, layers: int = 5) -> nn.Module:
    """A chain of 3x3 convolutions, which sees `layers` pixels each way."""
    torch.manual_seed(0)
    width = 6
    first = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
    middle = [part for _ in range(layers - 2) for part in (nn.Conv2d(width, width, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*first, *middle, nn.Conv2d(width, 2 * scale**2, 3, padding=1), nn.PixelShuffle(scale)).eval()


class SmallUNet(nn.Module):
    """Five halvings and as many doublings with skips: it sees further than the reach."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3, stride=2, padding=1) for i in range(5))
        self.up = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(5))
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        skips, x = [], images
        for layer in self.down:
            x = torch.relu(layer(x))
            skips.append(x)
        for layer, skip in zip(self.up, [*skips[-2::-1], None], strict=True):
            x = torch.relu(layer(F.interpolate(x, scale_factor=2)))
            x = x if skip is None else x + skip
        answer: Tensor = self.head(x)
        return answer


@pytest.mark.parametrize("reach", [32, 64, 128])
@pytest.mark.parametrize("length", [1, 31, 100, 333, 640, 1001])
@pytest.mark.parametrize("parts", [1, 2, 3, 7, 40])
def test_shares_of_all_tiles_add_up_to_one(length: int, parts: int, reach: int) -> None:
    cut = spans(length, parts, reach)
    assert 1 <= len(cut) <= parts
    assert [span.first for span in cut] == [0, *(span.last for span in cut[:-1])]
    assert cut[-1].last == length
    assert all(span.start % ALIGNMENT == 0 for span in cut)
    for scale in (1, 3):
        total = torch.zeros(length * scale)
        for span in cut:
            shares = span.shares(scale)
            assert shares.shape == (len(span) * scale,)
            # Three quarters of the reach count for nothing.
            inner = reach * 3 // 4 * scale
            assert span.start == 0 or not shares[:inner].any()
            assert span.stop == length or not shares[-inner:].any()
            total[span.start * scale : span.stop * scale] += shares
        torch.testing.assert_close(total, torch.ones(length * scale), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(50, 700), (700, 50), (500, 500), (1000, 333)])
@pytest.mark.parametrize("most", [1, 128 * 128, 200 * 300, 10**6])
def test_tiles_are_as_small_as_asked_or_as_can_be(height: int, width: int, most: int) -> None:
    cut = tiles(height, width, most, 32)
    largest = max(len(row) * len(column) for row, column in cut)
    assert largest <= max(most, min(96, height) * min(96, width))
    assert sum((row.last - row.first) * (column.last - column.first) for row, column in cut) == height * width
    if height * width <= most:
        assert len(cut) == 1


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(130, 200), (97, 301)])
def test_a_network_that_sees_no_further_than_the_margin_predicts_the_same(scale: int, height: int, width: int) -> None:
    network = convolutions(scale=scale)
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = network(images)
        tiled = in_tiles(plain, network, images, most=96 * 96, reach=32)
    assert tiled.shape == whole.shape
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_one_that_sees_further_than_the_margin_does_not() -> None:
    """Otherwise the test above would say nothing of the margin."""
    network = convolutions(layers=40)
    images = torch.rand(1, 3, 130, 200, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        difference = (in_tiles(plain, network, images, most=96 * 96, reach=32) - network(images)).abs().max()
        same = (in_tiles(plain, network, images, most=192 * 192, reach=64) - network(images)).abs().max()
    assert difference > 2 * same


def test_a_deep_network_has_no_seam() -> None:
    """Across the seams, prediction minus whole prediction changes no faster than anywhere else in the fade."""
    network = SmallUNet().eval()
    images = torch.rand(1, 3, 300, 420, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        whole = padded(network, images)
        tiled = in_tiles(padded, network, images, most=192 * 192, reach=64)
    spread = float(whole.std())
    error = (tiled - whole)[0, 0]
    assert 0 < float(error.abs().max()) < 0.1 * spread
    cut = tiles(300, 420, 192 * 192, 64)
    for border in sorted({column.first for _, column in cut} - {0}):
        step = (error[:, border] - error[:, border - 1]).abs().max()
        assert float(step) < 0.02 * spread


def test_hard_cuts_would_show() -> None:
    """The same network with tiles put side by side: the seam that the fade removes."""
    network = SmallUNet().eval()
    images = torch.rand(1, 3, 300, 420, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        whole = padded(network, images)
        sides = [padded(network, images[..., start:stop]) for start, stop in ((0, 224), (224, 420))]
    error = (torch.cat(sides, dim=-1) - whole)[0, 0]
    assert float((error[:, 224] - error[:, 223]).abs().max()) > 0.1 * float(whole.std())


def test_a_prediction_that_is_no_map_is_refused() -> None:
    images = torch.rand(1, 3, 100, 300)
    for answer in (lambda x: x.mean(dim=(2, 3)), lambda x: x[..., :-1]):
        with pytest.raises(RequestError, match="no map"):
            in_tiles(plain, answer, images, most=1, reach=32)
