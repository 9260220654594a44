"""The `cifar/` networks against twins: libraries' networks with the same weights, and the papers' formulas."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densedistill.backbones import count_parameters, create
from densedistill.backbones.cifar_resnet import PaddedShortcut
from densedistill.backbones.cifar_shuffle import ShuffleNetV2

State = dict[str, Tensor]


def lively(name: str, **arguments: object) -> nn.Module:
    """A network in evaluation mode whose batch-norms all do something, in double precision."""
    torch.manual_seed(0)
    network = create(name, **arguments).eval().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                assert tensor is not None
                tensor.normal_(std=0.1)
    return network


def images(size: int = 32) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def same(network: nn.Module, expected: Tensor, size: int = 32) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(network(images(size)), expected)
    assert expected.std() > 1e-3


def norm(x: Tensor, state: State, path: str) -> Tensor:
    mean, var = state[f"{path}.running_mean"], state[f"{path}.running_var"]
    scale = state[f"{path}.weight"] / (var + 1e-5).sqrt()
    return (x - mean[:, None, None]) * scale[:, None, None] + state[f"{path}.bias"][:, None, None]


def blocks_of(state: State, stage: str) -> Iterator[str]:
    """`stage.0`, `stage.1`, ... as far as there are any."""
    place = 0
    while any(key.startswith(f"{stage}.{place}.") for key in state):
        yield f"{stage}.{place}"
        place += 1


def he_resnet(x: Tensor, state: State, head: str) -> Tensor:
    """He et al. 2016, eqs. 1 and 2, and section 4.2, from a state dict."""
    x = norm(F.conv2d(x, state["conv1.weight"], padding=1), state, "bn1").relu()
    for stage in ("layer1", "layer2", "layer3"):
        for place, block in enumerate(blocks_of(state, stage)):
            stride = 2 if stage != "layer1" and place == 0 else 1
            y = norm(F.conv2d(x, state[f"{block}.conv1.weight"], padding=1, stride=stride), state, f"{block}.bn1")
            y = norm(F.conv2d(y.relu(), state[f"{block}.conv2.weight"], padding=1), state, f"{block}.bn2")
            if f"{block}.downsample.0.weight" in state:
                kernel = state[f"{block}.downsample.0.weight"]
                x = norm(F.conv2d(x, kernel, stride=stride), state, f"{block}.downsample.1")
            elif stride == 2:
                nothing = torch.zeros_like(y[:, : x.shape[1] // 2])
                x = torch.cat([nothing, x[:, :, ::2, ::2], nothing], dim=1)
            x = (x + y).relu()
    return F.linear(x.mean((2, 3)), state[f"{head}.weight"], state[f"{head}.bias"])


@pytest.mark.parametrize(
    ("name", "head", "size"), [("resnet14", "fc", 32), ("resnet8x4", "fc", 21), ("resnet20-a", "linear", 32)]
)
def test_resnets_are_he_et_als_formula(name: str, head: str, size: int) -> None:
    network = lively(f"cifar/{name}")
    same(network, he_resnet(images(size), network.state_dict(), head), size)


def test_option_a_keeps_every_second_pixel_in_the_middle_channels() -> None:
    features = torch.arange(1.0, 1 + 2 * 2 * 5 * 4).reshape(2, 2, 5, 4)
    shortened = PaddedShortcut(2, 5, 2)(features)
    assert shortened.shape == (2, 5, 3, 2)
    assert torch.equal(shortened[:, 1:3], features[:, :, [0, 2, 4]][..., [0, 2]])
    assert shortened[:, [0, 3, 4]].count_nonzero() == 0


def test_wide_resnet_is_zagoruyko_and_komodakis() -> None:
    """Their figure 1 (basic) and the full pre-activation of He et al. 2016b, from the state dict."""
    network = lively("cifar/wrn-16-2")
    state = network.state_dict()
    x = F.conv2d(images(), state["conv1.weight"], padding=1)
    for stage in (1, 2, 3):
        for place, block in enumerate(blocks_of(state, f"block{stage}.layer")):
            stride = 2 if stage > 1 and place == 0 else 1
            y = norm(x, state, f"{block}.bn1").relu()
            if f"{block}.convShortcut.weight" in state:
                x = F.conv2d(y, state[f"{block}.convShortcut.weight"], stride=stride)
            y = norm(F.conv2d(y, state[f"{block}.conv1.weight"], stride=stride, padding=1), state, f"{block}.bn2")
            x = x + F.conv2d(y.relu(), state[f"{block}.conv2.weight"], padding=1)
    pooled = norm(x, state, "bn1").relu().mean((2, 3))
    same(network, F.linear(pooled, state["fc.weight"], state["fc.bias"]))
    projected = [key for key in create("cifar/wrn-16-1").state_dict() if "convShortcut" in key]
    assert [key.partition(".")[0] for key in projected] == ["block2", "block3"]


def share_weights(ours: nn.Module, theirs: nn.Module) -> nn.Module:
    """Copy every tensor of `ours` into `theirs`, in order: the two must have the same shapes in the same order."""
    theirs.double().load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    return theirs.eval()


def test_resnet50_is_timms_with_the_small_stem() -> None:
    network = lively("cifar/resnet50", num_classes=100)
    theirs = share_weights(network, create("timm/resnet50", num_classes=100, input_size=32))
    assert count_parameters(theirs) == 23_705_252
    with torch.inference_mode():
        same(network, theirs(images()))


@pytest.mark.parametrize("size", [32, 64])
def test_vgg_is_torchvisions_up_to_the_pools_and_the_head(size: int) -> None:
    from torchvision.models import vgg11_bn

    network = lively("cifar/vgg11", input_size=size)
    features = vgg11_bn(num_classes=1).features
    left_out = [len(features) - 1] if size == 64 else [21, len(features) - 1]
    assert all(isinstance(features[place], nn.MaxPool2d) for place in left_out)
    for place in left_out:
        features[place] = nn.Identity()
    theirs = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 100))
    with torch.inference_mode():
        same(network, share_weights(network, theirs)(images(size)), size)


def test_shufflenet_v2_is_torchvisions_behind_another_stem() -> None:
    from torchvision.models import shufflenet_v2_x1_0

    network = lively("cifar/shufflenetv2")
    assert isinstance(network, ShuffleNetV2)
    theirs = shufflenet_v2_x1_0(num_classes=100)
    theirs.conv1[0] = nn.Conv2d(3, 24, 1, bias=False)
    theirs.maxpool = nn.Identity()
    share_weights(network, theirs)
    assert count_parameters(theirs) == 1_355_528
    with torch.inference_mode():
        same(network, theirs(images()))


def test_shufflenet_v2s_preact_is_the_block_before_relu_and_shuffle() -> None:
    network = lively("cifar/shufflenetv2")
    last = network.get_submodule("layer1.3")
    features = torch.rand(2, 116, 8, 8, dtype=torch.float64)
    seen: list[Tensor] = []
    last.get_submodule("preact").register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.inference_mode():
        output = last(features)
    assert torch.equal(seen[0][:, :58], features[:, :58])
    interleaved = seen[0].relu().reshape(2, 2, 58, 8, 8).transpose(1, 2).reshape(2, 116, 8, 8)
    assert torch.equal(output, interleaved)


def test_shufflenet_v1_is_zhang_et_als_figure() -> None:
    """Figure 2 b and c, with the ReLU after the depthwise convolution that the distillation literature adds."""
    network = lively("cifar/shufflenetv1")
    assert count_parameters(network) == 949_258
    state = network.state_dict()
    x = norm(F.conv2d(images(), state["conv1.weight"]), state, "bn1").relu()
    for stage, blocks in enumerate((4, 8, 4), start=1):
        assert len(list(blocks_of(state, f"layer{stage}"))) == blocks
        for place, block in enumerate(blocks_of(state, f"layer{stage}")):
            strided, first = place == 0, stage == 1 and place == 0
            groups = 1 if first else 3
            y = norm(F.conv2d(x, state[f"{block}.conv1.weight"], groups=groups), state, f"{block}.bn1").relu()
            b, c, h, w = y.shape
            y = torch.stack(y.chunk(groups, dim=1), dim=2).reshape(b, c, h, w)
            kernel = state[f"{block}.conv2.weight"]
            y = norm(F.conv2d(y, kernel, padding=1, stride=1 + strided, groups=c), state, f"{block}.bn2").relu()
            y = norm(F.conv2d(y, state[f"{block}.conv3.weight"], groups=3), state, f"{block}.bn3")
            x = torch.cat([y, F.avg_pool2d(x, 3, stride=2, padding=1)], 1).relu() if strided else (x + y).relu()
    same(network, F.linear(x.mean((2, 3)), state["linear.weight"], state["linear.bias"]))


def test_mobilenet_is_sandler_et_als_table_with_the_literatures_strides() -> None:
    network = lively("cifar/mobilenetv2")
    state = network.state_dict()
    x = norm(F.conv2d(images(), state["conv1.0.weight"], stride=2, padding=1), state, "conv1.1").relu()
    for stage, (blocks, stride) in enumerate(((1, 1), (2, 1), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1))):
        assert len(list(blocks_of(state, f"blocks.{stage}"))) == blocks
        for place, block in enumerate(blocks_of(state, f"blocks.{stage}")):
            y = norm(F.conv2d(x, state[f"{block}.conv.0.weight"]), state, f"{block}.conv.1").relu()
            kernel, step = state[f"{block}.conv.3.weight"], stride if place == 0 else 1
            y = norm(F.conv2d(y, kernel, stride=step, padding=1, groups=len(kernel)), state, f"{block}.conv.4").relu()
            y = norm(F.conv2d(y, state[f"{block}.conv.6.weight"]), state, f"{block}.conv.7")
            x = x + y if x.shape == y.shape else y
    x = norm(F.conv2d(x, state["conv2.0.weight"]), state, "conv2.1").relu()
    same(network, F.linear(x.mean((2, 3)), state["classifier.0.weight"], state["classifier.0.bias"]))


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("resnet8x4", ("layer1.0.downsample.0.weight", "layer1.0.downsample.1.running_mean", "fc.weight")),
        ("wrn-40-2", ("block1.layer.0.convShortcut.weight", "block3.layer.5.bn2.weight", "bn1.bias", "fc.bias")),
        ("vgg13", ("block0.0.weight", "block4.4.running_var", "classifier.weight")),
        ("resnet50", ("layer1.0.shortcut.0.weight", "layer4.2.bn3.weight", "linear.weight")),
        ("mobilenetv2", ("conv1.0.weight", "blocks.6.0.conv.7.bias", "conv2.1.weight", "classifier.0.bias")),
        ("shufflenetv1", ("layer1.0.conv3.weight", "layer3.3.bn3.weight", "linear.bias")),
        ("shufflenetv2", ("layer1.0.conv5.weight", "layer3.3.bn3.weight", "bn2.weight", "linear.bias")),
    ],
)
def test_weights_have_the_names_of_the_authors_checkpoints(name: str, keys: tuple[str, ...]) -> None:
    assert set(keys) <= create(f"cifar/{name}").state_dict().keys()
