"""Names, arguments, exact sizes and stems."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from densedistill.backbones import (
    NetworkError,
    count_parameters,
    create,
    describe_networks,
    network_names,
    register_network,
    size_multiple,
)
from densedistill.backbones import registry as registry_module


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The registry of networks, restored afterwards."""
    copy = dict(registry_module._NETWORKS)
    monkeypatch.setattr(registry_module, "_NETWORKS", copy)
    return copy


@pytest.mark.parametrize(
    ("name", "arguments", "parameters"),
    [
        ("timm/resnet101", {"num_classes": 100, "input_size": 32}, 42_697_380),
        ("timm/mobilenetv2_100", {"num_classes": 100, "input_size": 32}, 2_351_972),
        ("timm/mobilenetv2_050", {"num_classes": 100, "input_size": 32}, 815_780),
        ("torchvision/resnet101", {"num_classes": 100, "input_size": 32}, 42_697_380),
        ("torchvision/mobilenet_v2", {"num_classes": 100, "input_size": 32}, 2_351_972),
        ("smp/unet-resnet34", {"in_channels": 3, "classes": 1}, 24_436_369),
        ("smp/unet-mobilenet_v2", {}, 6_628_945),
        ("swinir-m", {"scale": 4}, 11_900_199),
        ("swinir-s", {"scale": 4}, 929_628),
        ("swinir-s", {"scale": 2}, 910_152),
        ("swinir-s", {"scale": 3}, 918_267),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, arguments: dict[str, object], parameters: int) -> None:
    assert count_parameters(create(name, **arguments)) == parameters


def _side_before_first_block(network: nn.Module, block: str, size: int) -> int:
    sides: list[int] = []
    handle = network.get_submodule(block).register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
    with torch.inference_mode():
        logits = network.eval()(torch.rand(1, 3, size, size))
    handle.remove()
    assert logits.shape == (1, 7)
    return sides[0]


@pytest.mark.parametrize(
    ("name", "block", "arguments", "side"),
    [
        ("timm/resnet18", "layer1", {"input_size": 32}, 32),
        ("timm/resnet18", "layer1", {"input_size": 64}, 64),
        ("timm/resnet18", "layer1", {"input_size": 65}, 17),
        ("timm/resnet18", "layer1", {}, 16),
        ("timm/resnet18", "layer1", {"input_size": 32, "stem": "imagenet"}, 8),
        ("timm/resnet18", "layer1", {"input_size": 96, "stem": "small"}, 96),
        ("timm/resnet18", "layer1", {"input_size": 32, "stem": "small-stride2"}, 16),
        ("timm/resnet18d", "layer1", {"input_size": 32}, 32),
        ("timm/mobilenetv2_050", "blocks", {"input_size": 32}, 32),
        ("timm/mobilenetv2_050", "blocks", {"input_size": 32, "stem": "imagenet"}, 16),
        ("timm/mobilenetv2_050", "blocks", {"input_size": 32, "stem": "small-stride2"}, 16),
        ("timm/mobilenetv3_small_050", "blocks", {"input_size": 32}, 16),
        ("torchvision/resnet18", "layer1", {"input_size": 32}, 32),
        ("torchvision/resnet18", "layer1", {"input_size": 32, "stem": "imagenet"}, 8),
        ("torchvision/mobilenet_v2", "features.1", {"input_size": 32}, 32),
        ("torchvision/mobilenet_v2", "features.1", {"input_size": 96}, 48),
    ],
)
def test_stem_keeps_the_resolution_it_says(name: str, block: str, arguments: dict[str, object], side: int) -> None:
    network = create(name, num_classes=7, **arguments)
    size = arguments.get("input_size", 64)
    assert isinstance(size, int)
    assert _side_before_first_block(network, block, size) == side


def test_networks_of_one_size_are_built_for_the_input_size() -> None:
    network = create("timm/vit_tiny_patch16_224", num_classes=7, input_size=32).eval()
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 7)
    network = create("torchvision/vit_b_16", num_classes=7, input_size=32).eval()
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 7)


def test_timm_in_chans_and_drop_rate() -> None:
    network = create("timm/resnet18", in_chans=1, drop_rate=0.5, num_classes=7, input_size=32)
    assert network.drop_rate == 0.5
    assert network.eval()(torch.rand(1, 1, 32, 32)).shape == (1, 7)


def test_smp_depth_and_widths() -> None:
    network = create("smp/unet-resnet18", in_channels=1, classes=2, encoder_depth=3, decoder_channels=[32, 16, 8])
    assert network.eval()(torch.rand(1, 1, 16, 24)).shape == (1, 2, 16, 24)
    defaults = create("smp/unet-resnet18", encoder_depth=4)
    widths = [block.conv1[0].out_channels for block in defaults.decoder.blocks]
    assert widths == [256, 128, 64, 32]
    assert create("smp/fpn-tu-resnet18").eval()(torch.rand(1, 3, 32, 32)).shape == (1, 1, 32, 32)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("timm/resnet1o1", {}, r"'resnet1o1'.*did you mean 'resnet101'"),
        ("timm/resnet18.a9_in1k", {}, r"tag.*'a9_in1k'.*a1_in1k"),
        ("torchvision/resnet19", {}, r"'resnet19'.*did you mean 'resnet18'|'resnet19'.*'resnet1[08]"),
        ("torchvision/googlenet", {}, "unknown torchvision network"),
        ("swinirm", {}, r"did you mean 'swinir-m'.*Choose one of.*timm/NAME"),
        ("nothing/like", {}, "unknown network 'nothing/like'"),
        ("timm/", {}, "unknown network"),
        ("swinir-m", {"scal": 2}, r"no argument 'scal'; did you mean 'scale'"),
        ("timm/resnet18", {"fetch": True}, "no argument 'fetch'"),
        ("swinir-m", {"name": "x"}, "no argument 'name'"),
        ("swinir-m", {"scale": 5}, "scale=5: .*2, 3 or 4"),
        ("swinir", {"width": 50}, "width 50"),
        ("swinir", {"depths": (2, 2, 2), "heads": (3, 3)}, "3 groups and heads for 2"),
        ("swinir", {"window": 7}, "window=7"),
        ("timm/resnet18", {"num_classes": 0}, "num_classes=0"),
        ("timm/resnet18", {"num_classes": "ten"}, "num_classes='ten'"),
        ("timm/vit_tiny_patch16_224", {"stem": "small"}, "has no 'small' stem"),
        ("torchvision/alexnet", {"stem": "small"}, "has no 'small' stem"),
        ("smp/unet", {}, "names no encoder"),
        ("smp/unett-resnet34", {}, "did you mean 'unet'"),
        ("smp/unet-resnt34", {}, "did you mean 'resnet34'"),
        ("smp/unet-tu-resnt34", {}, "'tu-resnet34'"),
        ("smp/unet-resnet34", {"decoder_channels": (16, 8)}, "encoder_depth=2"),
        ("smp/unet-resnet34", {"decoder_channels": 16}, "give 5 numbers"),
        ("smp/fpn-resnet18", {"decoder_channels": 16}, "leave it out"),
        ("smp/unet-resnet34", {"encoder_depth": 9}, r"\[1, 5\], got 9"),
    ],
)
def test_a_wrong_request_is_one_sentence_with_the_remedy(name: str, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(NetworkError, match=said) as caught:
        create(name, **arguments)
    assert "\n" not in str(caught.value)


def test_registered_network_is_built_with_checked_arguments(registry: dict[str, object]) -> None:
    @register_network("linear-test", summary="a linear layer")
    def linear_test(*, width: int = 3) -> nn.Module:
        return nn.Linear(width, 1)

    assert "linear-test" in network_names()
    assert count_parameters(create("linear-test", width=5)) == 6
    with pytest.raises(NetworkError, match="width='wide'"):
        create("linear-test", width="wide")
    described = {info.name: info for info in describe_networks()}
    assert described["linear-test"].summary == "a linear layer"
    assert dict(described["linear-test"].arguments) == {"width": "3"}
    assert described["timm/NAME"].arguments["stem"] == "'auto'"


@pytest.mark.parametrize("name", ["swinir-m", "timm/mine", "loose"])
def test_a_refused_registration_leaves_the_registry_unchanged(registry: dict[str, object], name: str) -> None:
    before = dict(registry)

    def loose(**options: object) -> nn.Module:
        return nn.Linear(1, 1)

    def tidy() -> nn.Module:
        return nn.Linear(1, 1)

    with pytest.raises(NetworkError):
        register_network(name, summary="")(loose if name == "loose" else tidy)
    assert registry == before


def test_size_multiple_is_the_encoders_stride() -> None:
    assert size_multiple("smp/unet-resnet34") == 32
    assert size_multiple("smp/unet-resnet34", {"encoder_depth": 3}) == 8
    assert size_multiple("smp/pspnet-resnet34") == 8
    assert size_multiple("swinir-m") == 1
    assert size_multiple("timm/resnet18") == 1
    with pytest.raises(NetworkError):
        size_multiple("swinir-q")


def test_import_brings_no_library_of_networks() -> None:
    code = (
        "import sys, densedistill.backbones as b; b.create('swinir'); "
        "print([m for m in ('timm', 'torchvision', 'segmentation_models_pytorch', 'spandrel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
