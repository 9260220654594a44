"""Every `cifar/` network: sizes counted by hand, resolutions, taps, training in bf16, initial weights, messages."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densedistill.backbones import NetworkError, build, count_parameters, create, describe_networks, network_names
from densedistill.backbones.cifar_parts import CifarNetwork

NAMES = [name for name in network_names() if name.startswith("cifar/")]
ONE_OF_EACH_KIND = [f"cifar/{name}" for name in ("resnet8x4", "resnet20-a", "wrn-16-2", "vgg8", "mobilenetv2")] + [
    "cifar/shufflenetv1",
    "cifar/shufflenetv2",
]


def resnet_count(depth: int, widths: tuple[int, ...], classes: int, *, projected: bool) -> int:
    """By hand: 9ab weights of a 3x3 convolution from a to b channels, ab of a 1x1 one, 2b of a batch-norm."""
    blocks, total, a = (depth - 2) // 6, 27 * widths[0] + 2 * widths[0], widths[0]
    for stage, b in enumerate(widths[1:]):
        total += 9 * a * b + 9 * b * b + 4 * b + (blocks - 1) * (18 * b * b + 4 * b)
        if projected and (stage > 0 or a != b):
            total += a * b + 2 * b
        a = b
    return total + a * classes + classes


def wide_resnet_count(depth: int, k: int, classes: int) -> int:
    """By hand; a block has the batch-norm of its input's width and one of its output's."""
    blocks, total, a = (depth - 4) // 6, 27 * 16, 16
    for b in (16 * k, 32 * k, 64 * k):
        total += 2 * a + 9 * a * b + 2 * b + 9 * b * b + (a * b if a != b else 0)
        total += (blocks - 1) * (4 * b + 18 * b * b)
        a = b
    return total + 2 * a + a * classes + classes


def vgg_count(convolutions: tuple[int, ...], classes: int) -> int:
    """By hand; convolutions have a bias: 9ab + b, and 2b of the batch-norm."""
    total, a = 0, 3
    for count, b in zip(convolutions, (64, 128, 256, 512, 512), strict=True):
        total += 9 * a * b + 3 * b + (count - 1) * (9 * b * b + 3 * b)
        a = b
    return total + a * classes + classes


def mobilenet_count(classes: int) -> int:
    """By hand, widths halved: expansion a·ta, depthwise 9ta, linear ta·b, and 2 for each channel of three norms."""
    total, a = 27 * 16 + 2 * 16, 16
    stages = [(1, 8, 1), (6, 12, 2), (6, 16, 3), (6, 32, 4), (6, 48, 3), (6, 80, 3), (6, 160, 1)]
    for t, b, count in stages:
        for _ in range(count):
            total += a * t * a + 9 * t * a + t * a * b + 4 * t * a + 2 * b
            a = b
    return total + a * 1280 + 2 * 1280 + 1280 * classes + classes


NARROW, WIDE = (16, 16, 32, 64), (32, 64, 128, 256)
BY_HAND: dict[str, tuple[Callable[[int], int], float | None]] = {
    "resnet8": (lambda k: resnet_count(8, NARROW, k, projected=True), 0.08),
    "resnet14": (lambda k: resnet_count(14, NARROW, k, projected=True), 0.18),
    "resnet20": (lambda k: resnet_count(20, NARROW, k, projected=True), 0.28),
    "resnet32": (lambda k: resnet_count(32, NARROW, k, projected=True), 0.47),
    "resnet44": (lambda k: resnet_count(44, NARROW, k, projected=True), 0.67),
    "resnet56": (lambda k: resnet_count(56, NARROW, k, projected=True), 0.86),
    "resnet110": (lambda k: resnet_count(110, NARROW, k, projected=True), 1.74),
    "resnet8x4": (lambda k: resnet_count(8, WIDE, k, projected=True), 1.23),
    "resnet32x4": (lambda k: resnet_count(32, WIDE, k, projected=True), 7.43),
    "resnet20-a": (lambda k: resnet_count(20, NARROW, k, projected=False), None),
    "resnet32-a": (lambda k: resnet_count(32, NARROW, k, projected=False), None),
    "resnet44-a": (lambda k: resnet_count(44, NARROW, k, projected=False), None),
    "resnet56-a": (lambda k: resnet_count(56, NARROW, k, projected=False), None),
    "resnet110-a": (lambda k: resnet_count(110, NARROW, k, projected=False), None),
    "wrn-40-2": (lambda k: wide_resnet_count(40, 2, k), 2.26),
    "wrn-16-2": (lambda k: wide_resnet_count(16, 2, k), 0.70),
    "wrn-40-1": (lambda k: wide_resnet_count(40, 1, k), 0.57),
    "wrn-16-1": (lambda k: wide_resnet_count(16, 1, k), 0.18),
    "vgg8": (lambda k: vgg_count((1, 1, 1, 1, 1), k), 3.97),
    "vgg11": (lambda k: vgg_count((1, 1, 2, 2, 2), k), None),
    "vgg13": (lambda k: vgg_count((2, 2, 2, 2, 2), k), 9.46),
    "vgg16": (lambda k: vgg_count((2, 2, 3, 3, 3), k), None),
    "vgg19": (lambda k: vgg_count((2, 2, 4, 4, 4), k), None),
    "mobilenetv2": (mobilenet_count, 0.81),
    # No shorter sum by hand than the network itself: these are counted in test_cifar_references by their twins.
    "resnet50": (lambda k: 23_705_252 - (100 - k) * 2049, 23.71),
    "shufflenetv1": (lambda k: 949_258 - (100 - k) * 961, 0.95),
    "shufflenetv2": (lambda k: 1_355_528 - (100 - k) * 1025, 1.36),
}
"""Parameters for a number of classes, and the millions at 100 classes that the literature's tables give."""


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_counted_by_hand_and_published(name: str) -> None:
    by_hand, published = BY_HAND[name.removeprefix("cifar/")]
    for classes in (10, 100):
        assert count_parameters(create(name, num_classes=classes)) == by_hand(classes)
    if published is not None:
        assert round(by_hand(100) / 1e6, 2) == published
    (summary,) = (info.summary for info in describe_networks() if info.name == name)
    assert f"({by_hand(100) / 1e6:.2f} M parameters at 100 classes)" in summary


def test_he_et_al_table_6_is_met_by_option_a() -> None:
    # 0.27, 0.46, 0.66, 0.85 and 1.7 million for 10 classes.
    published = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}
    for depth, parameters in published.items():
        assert count_parameters(create(f"cifar/resnet{depth}-a", num_classes=10)) == parameters


def tapped(network: nn.Module, paths: list[str], images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the outputs of the modules at `paths` as they are once the whole network has run."""
    features: dict[str, Tensor] = {}

    def keep(path: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: features.__setitem__(path, output)

    handles = [network.get_submodule(path).register_forward_hook(keep(path)) for path in paths]
    with torch.inference_mode():
        logits = network.eval()(images)
    for handle in handles:
        handle.remove()
    return logits, features


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", NAMES)
def test_taps_have_the_width_and_resolution_they_say(name: str, size: int) -> None:
    network = create(name, num_classes=7, input_size=size)
    assert isinstance(network, CifarNetwork)
    stages = network.feature_info
    paths = [path for stage in stages for path in (stage["module"], stage["preact"])]
    logits, features = tapped(network, [*paths, "pool"], torch.randn(1, 3, size, size))
    assert logits.shape == (1, 7)
    for stage in stages:
        side = size // stage["reduction"]
        assert features[stage["module"]].shape == (1, stage["num_chs"], side, side)
        assert features[stage["preact"]].shape == (1, stage["num_chs"], side, side)
        assert features[stage["preact"]].min() < 0
    assert features["pool"].shape == (1, network.get_classifier().in_features)
    with torch.inference_mode():
        torch.testing.assert_close(network.get_classifier()(features["pool"]), logits)


RESOLUTIONS = {
    "resnet20": [32, 16, 8],
    "resnet50": [32, 16, 8, 4],
    "wrn-40-2": [32, 16, 8],
    "vgg13": [32, 16, 8, 4, 4],
    "mobilenetv2": [16, 8, 4, 2],
    "shufflenetv1": [16, 8, 4],
    "shufflenetv2": [16, 8, 4],
}


@pytest.mark.parametrize("name", RESOLUTIONS)
def test_resolutions_are_the_literatures(name: str) -> None:
    network = create(f"cifar/{name}")
    assert isinstance(network, CifarNetwork)
    assert [32 // stage["reduction"] for stage in network.feature_info] == RESOLUTIONS[name]


def test_vggs_pool_once_more_from_64_pixels_on() -> None:
    large, small = (create("cifar/vgg8", input_size=size) for size in (64, 63))
    _, features = tapped(large, ["relu4"], torch.randn(1, 3, 64, 64))
    assert features["relu4"].shape[-1] == 4
    _, features = tapped(small, ["relu4"], torch.randn(1, 3, 64, 64))
    assert features["relu4"].shape[-1] == 8
    assert large.state_dict().keys() == small.state_dict().keys()


@pytest.mark.parametrize("name", ["resnet8x4", "resnet20-a", "resnet50", "vgg8", "shufflenetv1"])
def test_preact_is_what_the_stages_relu_reads(name: str) -> None:
    network = create(f"cifar/{name}")
    assert isinstance(network, CifarNetwork)
    stages = network.feature_info
    _, features = tapped(
        network, [stage[key] for stage in stages for key in ("module", "preact")], torch.randn(2, 3, 32, 32)
    )
    for stage in stages:
        assert torch.equal(features[stage["preact"]].relu(), features[stage["module"]])


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_any_height_and_width_will_do(name: str) -> None:
    network = create(name, num_classes=5).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 3, 47, 35)).shape == (2, 5)
        assert network(torch.rand(1, 3, 16, 16)).shape == (1, 5)


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_trains_in_bf16_channels_last(name: str) -> None:
    network = create(name, num_classes=5).train().to(memory_format=torch.channels_last)
    images = torch.rand(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    assert isinstance(network, CifarNetwork)
    seen: list[Tensor] = []
    for stage in network.feature_info:
        network.get_submodule(stage["module"]).register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images)
    nn.functional.cross_entropy(logits.float(), torch.tensor([0, 4])).backward()  # type: ignore[no-untyped-call]
    assert all(feature.is_contiguous(memory_format=torch.channels_last) for feature in seen)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", ["resnet8", "wrn-16-1", "vgg8", "mobilenetv2", "shufflenetv2"])
def test_is_one_graph_to_the_compiler(name: str) -> None:
    network = create(f"cifar/{name}", num_classes=5).eval()
    images = torch.rand(2, 3, 32, 32)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), network(images))


def spread(tensor: Tensor) -> float:
    return float(tensor.detach().square().mean().sqrt())


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("resnet32x4", "layer3.1.conv1", math.sqrt(2 / (9 * 256))),
        ("resnet32x4", "layer2.0.conv1", math.sqrt(2 / (9 * 128))),
        ("wrn-40-2", "block2.layer.0.conv1", math.sqrt(2 / (9 * 64))),
        ("vgg13", "block2.0", math.sqrt(2 / (9 * 256))),
        ("resnet50", "layer1.0.conv3", math.sqrt(2 / 256)),
        ("mobilenetv2", "blocks.6.0.conv.6", math.sqrt(2 / 160)),
        ("mobilenetv2", "blocks.6.0.conv.3", math.sqrt(2 / (9 * 480))),
        ("resnet56-a", "layer3.0.conv1", math.sqrt(2 / (9 * 32))),
        ("resnet56-a", "linear", math.sqrt(2 / 64)),
        # PyTorch's own: uniform within 1 / sqrt(fan-in), whose spread is a third of the bound's square.
        ("resnet32x4", "fc", math.sqrt(1 / 3 / 256)),
        ("shufflenetv1", "layer3.1.conv1", math.sqrt(1 / 3 / 320)),
        ("shufflenetv2", "conv2", math.sqrt(1 / 3 / 464)),
        ("vgg13", "classifier", 0.01),
        ("mobilenetv2", "classifier.0", 0.01),
    ],
)
def test_initial_weights_are_the_published_ones(name: str, path: str, expected: float) -> None:
    torch.manual_seed(0)
    weight = create(f"cifar/{name}").get_submodule(path).weight
    assert isinstance(weight, Tensor)
    assert spread(weight) == pytest.approx(expected, rel=5 / math.sqrt(2 * weight.numel()))


@pytest.mark.parametrize("path", ["fc", "linear", "classifier", "classifier.0", "block2.0"])
def test_biases_start_at_zero_where_the_authors_set_them(path: str) -> None:
    owner = {"fc": "wrn-16-1", "linear": "resnet50", "classifier.0": "mobilenetv2"}.get(path, "vgg8")
    bias = create(f"cifar/{owner}").get_submodule(path).bias
    assert isinstance(bias, Tensor)
    assert bool(bias.eq(0).all()) == (owner != "resnet50")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("cifar/resnet8x5", {}, r"did you mean .*'cifar/resnet8x4'"),
        ("cifar/resnet56a", {}, r"did you mean .*'cifar/resnet56-a'"),
        ("cifar/wrn_40_2", {}, r"did you mean .*'cifar/wrn-40-2'"),
        ("resnet8x4", {}, r"did you mean .*'cifar/resnet8x4'"),
        ("cifar/resnet20", {"num_classes": 0}, "num_classes=0"),
        ("cifar/resnet20", {"classes": 10}, "no argument 'classes'; did you mean 'num_classes'"),
        ("cifar/vgg8", {"input_size": -32}, "input_size=-32"),
    ],
)
def test_a_wrong_request_is_one_sentence(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(NetworkError, match=said) as caught:
        create(name, **arguments)
    assert "\n" not in str(caught.value)


def test_no_provider_has_weights_and_auto_does_not_warn() -> None:
    assert build("cifar/resnet8", pretrained="auto").warning is None
    with pytest.raises(NetworkError, match="no provider publishes"):
        build("cifar/resnet8", pretrained="required")
