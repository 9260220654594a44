"""The rewritten backward against float64 autograd, and that nothing else of a network changes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from densedistill.distill.fast.depthwise import rewrite_depthwise

BF16_EPSILON = 2.0**-8
"""Half the distance between neighbouring bf16 numbers near one: what one rounding costs."""

SHAPES = [
    # channels, height, width, kernel, stride, padding, dilation
    (8, 16, 16, 3, 2, 1, 1),
    (8, 15, 17, 3, 2, 1, 1),
    (8, 7, 7, 5, 2, 2, 1),
    (4, 12, 10, 3, 2, 2, 2),
    (4, 9, 9, 2, 2, 0, 1),
    (4, 10, 11, 3, 3, 0, 1),
    (4, 14, 9, (3, 5), (1, 2), (1, 2), (1, 1)),
    (4, 14, 9, (5, 1), (3, 2), (4, 0), (1, 1)),
    (6, 1, 1, 3, 2, 1, 1),
    (4, 8, 8, 1, 2, 0, 1),
    # Stride 1, where the weight's gradient is the slow one.
    (8, 2, 2, 3, 1, 1, 1),
    (8, 1, 1, 3, 1, 1, 1),
    (4, 3, 9, 3, 1, 1, 1),
    (6, 8, 8, 5, 1, 2, 1),
    (6, 4, 5, 5, 1, 2, 1),
    (4, 6, 7, 7, 1, 3, 1),
    (4, 9, 9, (7, 1), (1, 1), (3, 0), (1, 1)),
    (4, 11, 12, 5, 1, 4, 2),
]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def depthwise(channels: int, *geometry: object, bias: bool = True) -> nn.Conv2d:
    kernel, stride, padding, dilation = geometry
    return nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=bias)  # type: ignore[arg-type]


def as_bf16_values(tensor: Tensor) -> Tensor:
    return tensor.detach().bfloat16().to(tensor.dtype)


def gradients(network: nn.Module, images: Tensor, toward: Tensor, autocast: bool) -> tuple[Tensor, list[Tensor]]:
    """Output, and the gradients of images and parameters, of sum(output * toward)."""
    images = images.clone().requires_grad_()
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = network(images)
    output.backward(toward.to(output.dtype))
    assert images.grad is not None
    return output.detach(), [images.grad, *(value.grad for value in network.parameters() if value.grad is not None)]


def rewritten_calls(output: Tensor) -> int:
    """How many nodes of the graph behind `output` are ours."""
    seen, waiting, found = set(), [output.grad_fn], 0
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found += node.name() == "_DepthwiseBackward"
        waiting += [after for after, _ in node.next_functions]
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_equal_float64_within_bf16(shape: tuple[int, ...], bias: bool) -> None:
    channels, height, width, *geometry = shape
    exact = depthwise(channels, *geometry, bias=bias).double()
    for value in exact.parameters():
        value.data = as_bf16_values(value)
    images = as_bf16_values(torch.randn(3, channels, height, width, dtype=torch.float64))
    toward = as_bf16_values(torch.randn_like(exact(images)))
    network = nn.Sequential(copy.deepcopy(exact).float())
    assert rewrite_depthwise(network).paths == ("0",)

    wanted_output, wanted = gradients(exact, images, toward, autocast=False)
    output, got = gradients(network, images.float(), toward, autocast=True)

    assert output.dtype == torch.bfloat16
    for found, right in zip([output, *got], [wanted_output, *wanted], strict=True):
        # bf16 once for the result; the bias's sum and the products themselves accumulate in float32.
        bound = 2 * BF16_EPSILON * float(right.abs().max())
        torch.testing.assert_close(found.double(), right, rtol=0, atol=max(bound, 1e-12))


def test_forward_is_bit_equal() -> None:
    plain = nn.Sequential(depthwise(8, 3, 2, 1, 1), nn.ReLU(), depthwise(8, 5, 2, 2, 1))
    network = copy.deepcopy(plain)
    rewrite_depthwise(network)
    images = torch.randn(2, 8, 13, 16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images)
        assert rewritten_calls(output) == 2
        assert torch.equal(output, plain(images))


def test_bf16_weights_take_the_fast_way_without_autocast() -> None:
    network = nn.Sequential(depthwise(4, 3, 2, 1, 1)).bfloat16()
    rewrite_depthwise(network)
    assert rewritten_calls(network(torch.randn(1, 4, 8, 8, dtype=torch.bfloat16, requires_grad=True))) == 1


def test_float32_takes_the_ordinary_way() -> None:
    network = nn.Sequential(depthwise(4, 3, 2, 1, 1))
    plain = copy.deepcopy(network)
    rewrite_depthwise(network)
    images, toward = torch.randn(2, 4, 9, 9), torch.randn(2, 4, 5, 5)
    for found, right in zip(
        gradients(network, images, toward, autocast=False)[1],
        gradients(plain, images, toward, autocast=False)[1],
        strict=True,
    ):
        assert torch.equal(found, right)
    assert rewritten_calls(network(images.requires_grad_())) == 0


def test_what_is_fast_anyway_takes_the_ordinary_way() -> None:
    network = nn.Sequential(depthwise(4, 3, 1, 1, 1))
    rewrite_depthwise(network)
    with torch.autocast("cpu", torch.bfloat16):
        assert rewritten_calls(network(torch.randn(1, 4, 8, 8, requires_grad=True))) == 0
        assert rewritten_calls(network(torch.randn(1, 4, 2, 8, requires_grad=True))) == 1


def test_an_input_without_gradient_takes_the_ordinary_way() -> None:
    network = nn.Sequential(depthwise(4, 3, 2, 1, 1))
    rewrite_depthwise(network)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(torch.randn(1, 4, 8, 8))
    assert output.requires_grad
    assert rewritten_calls(output) == 0


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 8, 3, 2, 1, groups=4),
        nn.Conv2d(4, 4, 3, 2, 1, groups=2),
        nn.Conv2d(1, 1, 3, 2, 1),
        nn.Conv2d(4, 4, 3, 2, 1, groups=4, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, 2, 3, groups=4),
        Conv2dSame(4, 4, 3, 2, groups=4),
    ],
    ids=["multiplier 2", "grouped", "one channel", "reflected", "padding beyond reach", "pads by size"],
)
def test_other_convolutions_are_left_alone(module: nn.Module) -> None:
    network = nn.Sequential(module)
    assert rewrite_depthwise(network).paths == ()
    assert "forward" not in module.__dict__


def test_state_types_hooks_and_undo() -> None:
    network = timm.create_model("mobilenetv2_050", num_classes=4)
    state, types = network.state_dict(), [type(module) for module in network.modules()]
    rewrite = rewrite_depthwise(network)
    assert len(rewrite.paths) == 17  # one in each inverted residual
    assert network.state_dict().keys() == state.keys()
    assert [type(module) for module in network.modules()] == types
    assert rewrite_depthwise(network).paths == ()

    seen: list[Tensor] = []
    handle = network.get_submodule(rewrite.paths[0]).register_forward_hook(lambda *call: seen.append(call[2]))
    network(torch.randn(2, 3, 32, 32))
    assert len(seen) == 1
    handle.remove()

    rewrite.undo()
    rewrite.undo()
    assert all("forward" not in module.__dict__ for module in network.modules())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_copies_are_rewritten_and_independent(duplicate: object) -> None:
    network = nn.Sequential(depthwise(4, 3, 2, 1, 1))
    rewrite_depthwise(network)
    other = duplicate(network)  # type: ignore[operator]
    with torch.no_grad():
        other[0].weight.zero_()
    images = torch.randn(1, 4, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        output, original = other(images), network(images)
    assert rewritten_calls(output) == 1
    assert torch.equal(output, other[0].bias.bfloat16()[None, :, None, None].expand_as(output))
    assert not torch.equal(original, output)


def test_compiles_as_one_graph() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), depthwise(4, 3, 2, 1, 1), nn.ReLU(), depthwise(4, 5, 2, 2, 1))
    network.append(depthwise(4, 5, 1, 2, 1))
    rewrite_depthwise(network)
    images = torch.randn(2, 3, 15, 18)
    toward = torch.randn(2, 4, 4, 5)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    expected, found = (gradients(each, images, toward, autocast=True) for each in (network, compiled))  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
