"""AttentionSRNet: size, start, taps, learning."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densedistill.backbones import NetworkError, count_parameters, create
from densedistill.backbones.attention_sr import AttentionBlock, ChannelAttention, PixelAttention


def _parameters(width: int, blocks: int, scale: int) -> int:
    def conv(c_in: int, c_out: int, k: int) -> int:
        return c_in * c_out * k * k + c_out

    squeezed, reduced = max(width // 16, 4), max(width // 4, 4)
    block = 2 * conv(width, width, 3)
    block += conv(width, squeezed, 1) + conv(squeezed, width, 1) + conv(width, reduced, 1) + conv(reduced, 1, 1)
    return conv(3, width, 3) + blocks * block + conv(width, width, 3) + conv(width, 3 * scale**2, 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_default_is_twelve_blocks_under_a_million(scale: int) -> None:
    network = create("attention-sr", scale=scale)
    assert sum(isinstance(module, AttentionBlock) for module in network.modules()) == 12
    assert count_parameters(network) == _parameters(64, 12, scale) < 1_000_000
    assert count_parameters(create("attention-sr", scale=scale, width=32)) == _parameters(32, 12, scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_untrained_network_is_bicubic_interpolation(scale: int) -> None:
    images = torch.rand(2, 3, 9, 6)
    expected = F.interpolate(images, scale_factor=scale, mode="bicubic", align_corners=False)
    assert torch.equal(create("attention-sr", scale=scale, width=8, blocks=1)(images), expected)


def test_every_parameter_learns_once_the_last_layer_has_moved() -> None:
    torch.manual_seed(0)
    network = create("attention-sr", width=16, blocks=2)
    images, target = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 32, 32)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    F.mse_loss(network(images), target).backward()
    assert network.upsample[0].weight.grad.abs().sum() > 0
    optimizer.step()
    optimizer.zero_grad()
    F.mse_loss(network(images), target).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_tap_is_a_map_at_the_inputs_resolution() -> None:
    network = create("attention-sr", width=8, blocks=1)
    taps: list[Tensor] = []
    network.get_submodule("body_end").register_forward_hook(lambda *call: taps.append(call[2]))
    network(torch.rand(2, 3, 5, 7))
    assert taps[0].shape == (2, 8, 5, 7)


def test_attention_weights_have_the_stated_shapes_and_range() -> None:
    features = torch.randn(2, 32, 5, 7)
    for attention, shape in ((ChannelAttention(32), (2, 32, 1, 1)), (PixelAttention(32), (2, 1, 5, 7))):
        weights = attention(features)
        assert weights.shape == shape
        assert ((weights > 0) & (weights < 1)).all()


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(NetworkError, match="width=2"):
        create("attention-sr", width=2)
