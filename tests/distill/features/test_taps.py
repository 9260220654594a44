"""A network that is asked in evaluation mode is afterwards what it was, module by module."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from densedistill.distill.fast.padding_taps import guard_padding_taps
from densedistill.distill.features.sources import found_features
from densedistill.distill.features.taps import evaluating
from densedistill.distill.method_context import look


class Fails(nn.Module):
    """Answers until it is told not to."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False

    def forward(self, images: Tensor) -> Tensor:
        if self.broken:
            raise ValueError("no answer")
        return images


def half_frozen() -> nn.Sequential:
    """In training mode, but for its batch norm."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), Fails())
    network[1].eval()
    return network


def modes(network: nn.Module) -> list[bool]:
    return [module.training for module in network.modules()]


@pytest.mark.parametrize(
    "ask",
    [
        lambda network, images: look(network, images, (), ()),
        found_features,
        lambda network, images: guard_padding_taps(network, {"input": images}),
    ],
    ids=["look", "features", "padding"],
)
@pytest.mark.parametrize("broken", [False, True])
def test_every_module_keeps_its_own_mode(ask: Callable[[nn.Module, Tensor], object], broken: bool) -> None:
    network = half_frozen()
    before = modes(network)
    assert before == [True, True, False, True, True]
    if broken:
        network[3].broken = True
        with pytest.raises(ValueError, match="no answer"):
            ask(network, torch.rand(2, 3, 8, 8))
    else:
        ask(network, torch.rand(2, 3, 8, 8))
    assert modes(network) == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_meanwhile_all_are_in_evaluation_mode() -> None:
    network = half_frozen()
    with evaluating(network):
        assert not any(modes(network))
