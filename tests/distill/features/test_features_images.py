"""Where networks that enlarge images have their features, whoever wrote them."""

from __future__ import annotations

import pytest
import torch
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DAT import DAT
from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet
from spandrel.architectures.SwinIR import SwinIR
from torch import nn

from densedistill.backbones import create
from densedistill.distill.features.images import body_stages, enlarges
from densedistill.distill.features.sources import found_features
from densedistill.distill.features.taps import Tapped
from densedistill.distill.losses import ReadAs
from densedistill.distill.losses.features import FeatureMatching
from densedistill.distill.outputs import StepOutputs

pytestmark = [
    # torch.meshgrid's default order is to change, and DAT has empty layers at this width.
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:Initializing zero-element:UserWarning"),
]

IMAGES = torch.rand(2, 3, 24, 16, generator=torch.Generator().manual_seed(0))


def swinir(window: int = 8) -> nn.Module:
    network: nn.Module = SwinIR(
        img_size=16,
        window_size=window,
        embed_dim=12,
        depths=[2] * 3,
        num_heads=[2] * 3,
        mlp_ratio=2,
        upscale=4,
        upsampler="pixelshuffle",
        resi_connection="1conv",
    )
    return network


OWN = {
    "attention-sr": (["blocks.2", "blocks.5", "blocks.8", "body_end"], 64),
    "imdn": (["IMDB1", "IMDB3", "IMDB5", "LR_conv"], 64),
    "pan": (["SCPA_trunk.3", "SCPA_trunk.7", "SCPA_trunk.11", "trunk_conv"], 40),
    "rlfn": (["B1", "B2", "B3", "LR_conv"], 46),
    "swinir": (["layers.0", "layers.1", "conv_after_body"], 48),
}


@pytest.mark.parametrize("name", OWN)
def test_own_networks_declare_their_bodies(name: str) -> None:
    paths, width = OWN[name]
    found = found_features(create(name), IMAGES)
    assert [feature.path for feature in found.stages] == paths
    assert {feature.shape for feature in found.stages} == {torch.Size((2, width, 24, 16))}
    assert found.last == found.stages[-1]


def test_a_transformer_s_maps_are_read_right_where_the_image_is_as_wide_as_they_are_deep() -> None:
    images = torch.rand(1, 3, 24, 24)
    network = create("swinir", width=24, depths=(2,)).eval()
    (group, after) = found_features(network, images).stages
    assert (group.channels_last, after.channels_last) == (True, False)
    with Tapped(network, [group.path]) as tapped, torch.inference_mode():
        answer = tapped(images)
    torch.testing.assert_close(group.read(answer), answer.taps[group.path].permute(0, 3, 1, 2))


OTHERS = {
    "SwinIR": (swinir, ["layers.0", "layers.1", "layers.2", "conv_after_body"]),
    "DAT": (
        lambda: DAT(embed_dim=24, depth=[2, 2], num_heads=[2, 2], split_size=[8, 8], upscale=4),
        ["before_RG", "layers.0", "layers.1", "conv_after_body"],
    ),
    # The whole of it is one Sequential with the body as its second part.
    "RRDBNet": (
        lambda: RRDBNet(num_blocks=6, num_filters=8),
        ["model.1.sub.0", "model.1.sub.2", "model.1.sub.4", "model.1.sub.6"],
    ),
    # No blocks, and a last convolution whose channels are shuffled into pixels.
    "Compact": (
        lambda: Compact(num_feat=16, num_conv=6, upscale=4),
        ["body.2", "body.6", "body.9", "body.13"],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_published_networks_bodies_are_seen(name: str) -> None:
    build, paths = OTHERS[name]
    found = found_features(build(), IMAGES)
    assert [feature.path for feature in found.stages] == paths


def test_tokens_of_a_transformer_are_matched_to_a_convolutional_student_s_maps() -> None:
    torch.manual_seed(0)
    teacher, student = swinir().eval(), create("attention-sr", width=8, blocks=3)
    mine, theirs = found_features(student, IMAGES).stages[0], found_features(teacher, IMAGES).stages[0]
    assert (mine.shape, theirs.shape) == ((2, 8, 24, 16), (2, 24 * 16, 12))
    matching = FeatureMatching([(mine.path, theirs.path)], [8], [12])
    with Tapped(teacher, [theirs.path]) as teaches, torch.no_grad():
        taught = teaches(IMAGES)
    with Tapped(student, [mine.path]) as learns:
        step = StepOutputs(batch={}, student=learns(IMAGES), teacher=taught)
    loss = ReadAs([(mine, theirs)], matching)(step)
    # Row by row: token 16 y + x belongs to the pixel in row y and column x.
    tokens, projected = taught.taps[theirs.path], matching.projectors[0](step.student.taps[mine.path])
    rows = [(projected[:, :, y, x] - tokens[:, 16 * y + x]).square() for y in range(24) for x in range(16)]
    torch.testing.assert_close(loss, torch.stack(rows).mean())
    loss.backward()
    assert student.get_parameter("conv_first.weight").grad is not None


def test_padding_to_windows_is_seen_as_the_input_s_resolution() -> None:
    found = found_features(swinir(), torch.rand(1, 3, 21, 14))
    assert [feature.path for feature in found.stages] == ["layers.0", "layers.1", "layers.2", "conv_after_body"]
    assert found.stages[-1].shape[2:] == (24, 16)


def test_shapes_alone_decide() -> None:
    small, large = torch.Size((1, 8, 6, 6)), torch.Size((1, 3, 12, 12))
    images = torch.Size((1, 3, 6, 6))
    assert enlarges(images, {"up": large})
    assert not enlarges(images, {"same": small})
    # The convolution before a pixel shuffle holds the answer's pixels: it is no feature of the body.
    shapes = {"a": small, "b": small, "c": torch.Size((1, 12, 6, 6)), "shuffle": large}
    assert body_stages(images, shapes, 4) == ["a", "b"]
    alone = {"a": small, "b": torch.Size((1, 12, 6, 6)), "shuffle": large}
    assert body_stages(images, alone, 4) == ["a"]
    assert body_stages(images, {"shuffle": large}, 4) == []
    nested = {f"body.{place}": small for place in range(5)} | {"body": small, "shuffle": large}
    assert body_stages(images, nested, 2) == ["body.1", "body.4"]
