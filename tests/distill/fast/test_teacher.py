"""The prepared teacher answers as the plain one, and gives up what is not exact enough."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn

from densedistill.backbones import create
from densedistill.distill.errors import RequestError
from densedistill.distill.fast.agreement import deviation, excess
from densedistill.distill.fast.prepared import PreparedTeacher
from densedistill.distill.fast.teacher import FLOAT32_TOLERANCE, TeacherOptions, prepare_teacher
from densedistill.distill.features.taps import Tapped

CPU = torch.device("cpu")
EVERYTHING = TeacherOptions()
NOTHING = TeacherOptions(fold_batch_norm=False, rewrite_teacher=False, half_teacher=False, channels_last=False)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class Small(nn.Module):
    """A convolution, a norm, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 5)
        self.bn.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
        self.bn.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]

    def forward(self, images: Tensor) -> Tensor:
        features = self.bn(self.conv(images)).relu().mean((2, 3))
        logits: Tensor = self.head(features)
        return logits


def prepare(network: nn.Module, example: Tensor, *taps: str, **settings: object) -> PreparedTeacher:
    options, precision = settings.get("options", EVERYTHING), settings.get("precision", "bf16")
    return prepare_teacher(network, taps, example, options, CPU, precision)  # type: ignore[arg-type]


def resnet() -> nn.Module:
    return timm.create_model("resnet18", num_classes=5)


NETWORKS = {
    "resnet": (resnet, ("layer2", "layer4.1.conv2"), 40),
    "unet": (lambda: smp.Unet("mobilenet_v2", encoder_weights=None), ("decoder.blocks.1",), 64),
    "swinir": (lambda: create("swinir-s", scale=2), ("layers.0", "conv_after_body"), 13),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_answers_agree_with_the_plain_teacher(name: str, precision: str) -> None:
    build, taps, side = NETWORKS[name]
    network = build().eval()
    images = torch.rand(2, 3, side, side)
    prepared = prepare(network, images, *taps, precision=precision)
    with torch.no_grad():
        expected = Tapped(network, taps)(images)
    found = prepared(images)
    tolerance = FLOAT32_TOLERANCE if precision == "fp32" else 0.05
    assert found.output.dtype == torch.float32
    assert deviation(found.output, expected.output) == pytest.approx(prepared.deviations["output"])
    for path in taps:
        assert deviation(found.taps[path], expected.taps[path]) <= tolerance
    assert max(prepared.deviations.values()) <= tolerance
    assert prepared.notes == []
    shortcuts = {"channels_last"} | ({"half_teacher"} if precision == "bf16" else set())
    own = {"fold_batch_norm"} if name != "swinir" else {"rewrite_teacher"} if precision == "bf16" else set()
    assert set(prepared.parts) == shortcuts | own


def test_the_network_is_left_as_it_is() -> None:
    network = Small().train()
    state = copy.deepcopy(network.state_dict())
    prepared = prepare(network, torch.randn(2, 3, 6, 6), "bn")
    assert network.training
    assert all(value.requires_grad for value in network.parameters())
    assert all(torch.equal(network.state_dict()[name], value) for name, value in state.items())
    assert not network.bn._forward_hooks
    assert prepared.module is not network
    assert not any(value.requires_grad for value in prepared.module.parameters())


def test_half_weights_compute_what_autocast_computes() -> None:
    network = resnet().eval()
    images = torch.randn(2, 3, 32, 32)
    options = TeacherOptions(fold_batch_norm=False, channels_last=False)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = network(images)
    prepared = prepare(network, images, options=options)
    assert prepared.parts == ("half_teacher",)
    assert prepared.module.get_parameter("conv1.weight").dtype == torch.bfloat16
    assert prepared.module.get_parameter("bn1.weight").dtype == torch.float32
    assert torch.equal(prepared(images).output, expected.float())


def test_surrounding_autocast_does_not_change_an_fp32_teacher() -> None:
    images = torch.randn(2, 3, 6, 6)
    prepared = prepare(Small(), images, precision="fp32")
    with torch.autocast("cpu", torch.bfloat16):
        inside = prepared(images).output
    assert torch.equal(inside, prepared(images).output)


def test_without_options_it_is_the_plain_teacher() -> None:
    network = Small().eval()
    images = torch.randn(2, 3, 6, 6)
    prepared = prepare(network, images, options=NOTHING, precision="fp32")
    assert prepared.parts == ()
    assert torch.equal(prepared(images).output, network(images))


class Brittle(Small):
    """Multiplies rounding errors until they are all there is: with half weights nothing is right."""

    def forward(self, images: Tensor) -> Tensor:
        weight = self.head.weight
        exact = weight.float() * 2**12
        return super().forward(images).float() + (exact - exact.round()).sum(1)


class Typed(Small):
    """Accepts float32 weights only."""

    def forward(self, images: Tensor) -> Tensor:
        if self.conv.weight.dtype != torch.float32:
            raise TypeError("float32 weights, please\nor else")
        return super().forward(images)


@pytest.mark.parametrize(
    ("network", "words"), [(Brittle, "its output deviates by"), (Typed, "(float32 weights, please)")]
)
def test_half_weights_that_fail_are_left_out_and_said_so(network: type[Small], words: str) -> None:
    notes: list[str] = []
    images = torch.randn(4, 3, 6, 6)
    prepared = prepare_teacher(network(), (), images, EVERYTHING, CPU, "bf16", notes.append)
    assert prepared.parts == ("fold_batch_norm", "channels_last")
    assert notes == prepared.notes
    assert len(notes) == 1
    assert notes[0].startswith("the teacher is used without half_teacher: ")
    assert words in notes[0]


class Aliased(Small):
    """Holds its norm where no module tree shows it: folding it would normalise twice."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [self.bn]

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.hidden[0](self.conv(images)).mean((2, 3)))
        return logits


def test_folding_that_fails_is_left_out() -> None:
    prepared = prepare(Aliased(), torch.randn(4, 3, 6, 6), precision="fp32")
    assert prepared.parts == ("channels_last",)
    assert "without fold_batch_norm" in prepared.notes[0]


def test_a_teacher_that_is_not_finite_is_left_plain() -> None:
    network = Small()
    network.head.bias.data[0] = math.nan
    prepared = prepare(network, torch.randn(2, 3, 6, 6))
    assert prepared.parts == ()
    assert prepared.deviations["output"] == math.inf


def test_an_unknown_tap_is_refused() -> None:
    with pytest.raises(RequestError, match="tap 'con' is no module"):
        prepare(Small(), torch.randn(2, 3, 6, 6), "con")


def test_compiled_answers_and_taps_agree_and_compile_once() -> None:
    images = torch.rand(2, 3, 32, 32)
    prepared = prepare(timm.create_model("resnet10t", num_classes=5), images, "layer1", "layer2.0.conv2")
    eager = prepared(images)
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert prepared.compile("aot_eager") is None
        assert prepared.parts[-1] == "compiled"
        for _ in range(2):
            found = prepared(images)
            torch.testing.assert_close(found.output, eager.output)
            torch.testing.assert_close(dict(found.taps), dict(eager.taps))
        # The epoch's last batch may be smaller: it must not compile again.
        assert prepared(images[:1]).output.shape[0] == 1


def test_a_compiler_that_fails_leaves_the_teacher_eager() -> None:
    def broken(_graph: object, _inputs: object) -> None:
        raise OSError("no C++ compiler\nhere")

    images = torch.randn(2, 3, 6, 6)
    prepared = prepare(Small(), images)
    eager = prepared(images).output
    note = prepared.compile(broken)
    assert note is not None
    assert note.startswith("the teacher is not compiled: compiling it failed (")
    assert "\n" not in note
    assert "no C++ compiler" in note
    assert prepared.notes == [note]
    assert torch.equal(prepared(images).output, eager)


def test_a_compiler_that_is_wrong_is_not_used() -> None:
    def wrong(graph: torch.fx.GraphModule, _inputs: object) -> object:
        return lambda *inputs: tuple(2 * value for value in graph(*inputs))

    prepared = prepare(Small(), torch.randn(2, 3, 6, 6))
    note = prepared.compile(wrong)
    assert note is not None
    assert "its output deviates by 1" in note
    assert "compiled" not in prepared.parts


def test_closing_removes_the_taps() -> None:
    prepared = prepare(Small(), torch.randn(2, 3, 6, 6), "conv")
    assert prepared.module.get_submodule("conv")._forward_hooks
    prepared.close()
    assert not prepared.module.get_submodule("conv")._forward_hooks


def test_deviation_is_relative_to_the_spread() -> None:
    expected = torch.tensor([[99.0, 101.0]])
    assert deviation(expected + 0.5, expected) == pytest.approx(0.5)
    assert deviation(expected, expected) == 0
    assert deviation(torch.ones(3), torch.ones(4)) == math.inf
    assert deviation(torch.full((2,), math.nan), torch.ones(2)) == math.inf
    assert deviation(torch.full((2,), 3.0), torch.full((2,), 2.0)) == pytest.approx(0.5)


def test_excess_names_the_worst() -> None:
    allowed = {"output": 0.1, "layer": 0.001}
    assert excess({"output": 0.1, "layer": 0.001}, allowed) is None
    assert "tap 'layer'" in str(excess({"output": 0.2, "layer": 0.01}, allowed))
    assert excess({"output": math.nan, "layer": 0.0}, allowed) is not None
