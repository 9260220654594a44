"""The int8 teacher: how near it is, what it accepts, what it refuses."""

from __future__ import annotations

import importlib.util
import platform

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.fast.int8 import Int8Teacher, quantise_teacher

CPU = torch.device("cpu")
needs_torchao = pytest.mark.usefixtures("int8")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.bn(self.conv(images)).relu().mean((2, 3)))
        return logits


def views(seed: int, count: int = 8) -> Tensor:
    """Images with a mean of their own each, so that the answers differ."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.rand(count, 3, 1, 1, generator=generator)
    return levels + 0.2 * torch.randn(count, 3, 8, 8, generator=generator)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Small().eval()


@pytest.fixture(scope="module")
def teacher(network: nn.Module) -> Int8Teacher:
    return quantise_teacher(network, [views(0), views(1)], [views(2), views(3)], device=CPU)


@needs_torchao
def test_agreement_is_that_of_the_answers(network: nn.Module, teacher: Int8Teacher) -> None:
    images = torch.cat([views(2), views(3)])
    with torch.no_grad():
        expected = network(images)
    found = teacher(images).output
    agreement = teacher.agreement
    assert agreement.images == 16
    assert agreement.max_relative_error == pytest.approx(float((found - expected).abs().max() / expected.abs().max()))
    assert agreement.top1 == pytest.approx(100 * float((found.argmax(1) == expected.argmax(1)).float().mean()))
    # 8 bits are 1/255 of the range a step, in input, activations and weights.
    assert 0 < agreement.max_relative_error < 0.05
    assert agreement.deviation < 0.1


@needs_torchao
@pytest.mark.parametrize("count", [1, 5, 8, 19])
def test_any_number_of_images_is_answered_one_by_one(teacher: Int8Teacher, count: int) -> None:
    images = views(4, count)
    output = teacher(images).output
    assert output.shape == (count, 4)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output[-1:], teacher(images[-1:]).output)


@needs_torchao
def test_the_weights_are_int8(teacher: Int8Teacher) -> None:
    kinds = {str(node.target) for node in teacher._graph.graph.nodes}  # type: ignore[union-attr]
    assert any("onednn.qconv" in kind for kind in kinds)
    assert any("onednn.qlinear" in kind for kind in kinds)


@needs_torchao
def test_another_image_size_is_refused(teacher: Int8Teacher) -> None:
    with pytest.raises(RequestError, match="images of 3x8x8 and got 3x9x9"):
        teacher(torch.rand(2, 3, 9, 9))


class Deciding(Small):
    """Its path depends on values, which no exported graph can."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) if images.sum() > 0 else -super().forward(images)


@needs_torchao
def test_a_network_that_cannot_be_exported_is_refused_in_one_sentence() -> None:
    with pytest.raises(RequestError, match=r"the teacher \(Deciding\) cannot be quantised to int8") as caught:
        quantise_teacher(Deciding(), [views(0)], [views(1)], device=CPU)
    assert "\n" not in str(caught.value)
    assert "speed.int8_teacher off" in str(caught.value)


@needs_torchao
def test_a_network_in_which_nothing_is_quantised_is_refused() -> None:
    """PyTorch 2.11 and torchao 0.18 make a float32 network of every network, without a word."""
    with pytest.raises(RequestError, match=r"torchao [\d.]+ found nothing in it to quantise with PyTorch"):
        quantise_teacher(nn.Sequential(nn.AvgPool2d(2)), [views(0)], [views(1)], device=CPU)


def test_taps_are_refused(network: nn.Module) -> None:
    with pytest.raises(RequestError, match="no features to tap \\(conv\\)"):
        quantise_teacher(network, [views(0)], [views(1)], device=CPU, taps=["conv"])


def test_another_device_is_refused(network: nn.Module) -> None:
    with pytest.raises(RequestError, match="needs an x86 CPU; this run is on cuda"):
        quantise_teacher(network, [views(0)], [views(1)], device=torch.device("cuda"))


def test_a_missing_extra_is_named(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'densedistill\[int8\]'"):
        quantise_teacher(network, [views(0)], [views(1)], device=CPU)
