"""Folded networks answer as before; what may not be folded is left alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from timm.layers import BatchNormAct2d, Conv2dSame, StdConv2d
from torch import Tensor, nn

from densedistill.distill.fast.folding import fold_batch_norms


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def with_statistics(network: nn.Module) -> nn.Module:
    """Norms as after training: neither their scale nor their shift is trivial."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low, high in ((module.running_mean, -0.2, 0.2), (module.running_var, 0.5, 2.0)):
                if value is not None:
                    value.uniform_(low, high)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet": (lambda: timm.create_model("resnet18", num_classes=5), 0),
    "mobilenetv2": (lambda: timm.create_model("mobilenetv2_050", num_classes=5), 0),
    "efficientnet, padding by size": (lambda: timm.create_model("tf_efficientnet_b0", num_classes=5), 0),
    "convnext, no batch norm": (lambda: timm.create_model("convnext_atto", num_classes=5), 0),
    "repvgg, norms on skips": (lambda: timm.create_model("repvgg_a0", num_classes=5), 17),
    "unet": (lambda: smp.Unet("resnet18", encoder_weights=None), 0),
}


@pytest.mark.parametrize(("build", "left"), NETWORKS.values(), ids=NETWORKS)
def test_networks_answer_as_before(build: Callable[[], nn.Module], left: int) -> None:
    plain = with_statistics(build())
    folded = copy.deepcopy(plain)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = plain(images)
        assert fold_batch_norms(folded, images) == norms(plain) - left
        found = folded(images)
    assert norms(folded) == left
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("convolution", "width"),
    [
        (lambda bias: nn.Conv2d(4, 6, 3, 2, 1, groups=2, bias=bias), 6),
        (lambda bias: nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2, bias=bias), 6),
        (lambda bias: nn.Conv2d(4, 4, 3, padding="same", padding_mode="reflect", bias=bias), 4),
        (lambda bias: Conv2dSame(4, 6, 3, 2, bias=bias), 6),
    ],
    ids=["grouped", "transposed", "reflected", "padded by size"],
)
def test_folding_is_exact_in_float64(convolution: Callable[[bool], nn.Module], width: int, bias: bool) -> None:
    plain = with_statistics(nn.Sequential(convolution(bias), nn.BatchNorm2d(width), nn.ReLU())).double()
    folded = copy.deepcopy(plain)
    images = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    assert fold_batch_norms(folded, images) == 1
    assert isinstance(folded[1], nn.Identity)  # type: ignore[index]
    torch.testing.assert_close(folded(images), plain(images), rtol=1e-12, atol=1e-12)


def test_a_norm_without_affine_part() -> None:
    plain = with_statistics(nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, affine=False))).double()
    folded = copy.deepcopy(plain)
    images = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    assert fold_batch_norms(folded, images) == 1
    torch.testing.assert_close(folded(images), plain(images), rtol=1e-12, atol=1e-12)


def test_drop_and_activation_of_a_norm_stay_under_their_names() -> None:
    network = with_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct2d(4, act_layer=nn.SiLU)))
    wanted = network(images := torch.randn(1, 3, 4, 4))
    assert fold_batch_norms(network, images) == 1
    assert isinstance(network.get_submodule("1.act"), nn.SiLU)
    torch.testing.assert_close(network(images), wanted)


class ReadTwice(nn.Module):
    """A skip reads what the norm reads, by a function that no module hook sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)
        return torch.cat([features, self.bn(features)], dim=1)


class Returned(ReadTwice):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        features = self.conv(images)
        return features, self.bn(features)


class RunTwice(ReadTwice):
    def forward(self, images: Tensor) -> Tensor:
        once: Tensor = self.bn(self.conv(images))
        return self.conv(once)


class NormRunTwice(ReadTwice):
    def forward(self, images: Tensor) -> Tensor:
        once: Tensor = self.bn(self.conv(images))
        return self.bn(once)


class Doubled(nn.BatchNorm2d):
    """A norm that does more than its parent."""

    def forward(self, features: Tensor) -> Tensor:
        return 2 * super().forward(features)


class SharedWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.second.weight = self.first.weight
        self.bn = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.bn(self.first(images))
        return self.second(features)


def hooked() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    network[0].register_forward_hook(lambda *call: None)
    return network


def parametrised() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1)), nn.BatchNorm2d(3))


@pytest.mark.parametrize(
    "build",
    [
        ReadTwice,
        Returned,
        RunTwice,
        NormRunTwice,
        SharedWeight,
        hooked,
        parametrised,
        lambda: nn.Sequential(StdConv2d(3, 3, 1), nn.BatchNorm2d(3)),
        lambda: nn.Sequential(nn.Conv2d(3, 3, 1), Doubled(3)),
        lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)),
        lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
    ],
    ids=[
        "read twice", "returned", "convolution run twice", "norm run twice", "shared weight", "hooked", "parametrised",
        "standardised weight", "unknown norm", "not adjacent", "no statistics",
    ],
)  # fmt: skip
def test_what_may_not_be_folded_is_left_alone(build: Callable[[], nn.Module]) -> None:
    network = with_statistics(build())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert fold_batch_norms(network, torch.randn(2, 3, 4, 4)) == 0
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("kept", ["0", "1"])
def test_tapped_modules_are_kept(kept: str) -> None:
    network = with_statistics(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))
    images = torch.randn(1, 3, 4, 4)
    assert fold_batch_norms(network, images, keep=[kept]) == 0
    assert fold_batch_norms(network, images, keep=[]) == 1


def test_a_tapped_stage_that_ends_in_the_convolution_is_kept() -> None:
    network = with_statistics(nn.Sequential(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 3, 1)), nn.BatchNorm2d(3)))
    images = torch.randn(1, 3, 4, 4)
    assert fold_batch_norms(network, images, keep=["0"]) == 0
    assert fold_batch_norms(network, images) == 1


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluation mode"):
        fold_batch_norms(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), torch.randn(1, 3, 4, 4))
