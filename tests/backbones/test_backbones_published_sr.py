"""IMDN, PAN and RLFN: sizes, scales, ranges, and the figures their authors published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from densedistill.backbones import NetworkError, count_parameters, create, load_weights
from densedistill.backbones.imdn import ContrastAttention
from densedistill.datasets.super_resolution import SuperResolutionData, super_resolution_tests
from densedistill.distill.metrics import ImageQuality

NAMES = ("imdn", "pan", "rlfn")
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "file", "stated"),
    [("imdn", "IMDN_x4.pth", 32.21), ("pan", "PANx4_DF2K.pth", 32.13), ("rlfn", "team04_rlfn.pth", 32.10)],
)
def test_published_weights_give_the_published_figure_on_set5(
    data_root: Path, name: str, file: str, stated: float
) -> None:
    weights = data_root / "weights" / "sr" / file
    if not weights.is_file():
        pytest.skip(f"needs {file} in weights/sr of the data root")
    network = create(name, scale=4).eval()
    load_weights(network, weights)
    images = super_resolution_tests(SuperResolutionData(name="folder", root=data_root, tests=("set5",)))["set5"]
    metric = ImageQuality(4)
    with torch.inference_mode():
        for batch in images.batches(1, device=CPU):
            metric.update(network(batch["input"]).clamp(0, 1), batch)
    assert metric.compute()["psnr_y"] == pytest.approx(stated, abs=0.01)


@pytest.mark.parametrize(
    ("name", "scale", "thousands"),
    # The papers' tables; RLFN's from the report on the challenge (Li et al. 2022).
    [("imdn", 2, 694), ("imdn", 3, 703), ("imdn", 4, 715), ("pan", 2, 261), ("pan", 4, 272), ("rlfn", 4, 317)],
)
def test_sizes_are_the_papers(name: str, scale: int, thousands: int) -> None:
    assert round(count_parameters(create(name, scale=scale)) / 1000) == thousands


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_images_of_any_size_are_enlarged_and_every_parameter_learns(name: str, scale: int) -> None:
    torch.manual_seed(0)
    network = create(name, scale=scale, blocks=2)
    images = torch.rand(2, 3, 17, 22)
    output = network(images)
    assert output.shape == (2, 3, 17 * scale, 22 * scale)
    output.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(("name", "tap"), [("imdn", "LR_conv"), ("pan", "trunk_conv"), ("rlfn", "LR_conv")])
def test_the_documented_tap_is_a_map_at_the_input_s_resolution(name: str, tap: str) -> None:
    network = create(name, blocks=1)
    seen: list[torch.Size] = []
    network.get_submodule(tap).register_forward_hook(lambda *call: seen.append(call[2].shape))
    network(torch.rand(1, 3, 16, 20))
    assert [shape[2:] for shape in seen] == [(16, 20)]


def test_rlfn_works_on_levels_of_0_to_255_inside() -> None:
    torch.manual_seed(0)
    network = create("rlfn", blocks=1)
    seen: list[torch.Tensor] = []
    network.get_submodule("fea_conv").register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    upsampled: list[torch.Tensor] = []
    network.get_submodule("upsampler").register_forward_hook(lambda *call: upsampled.append(call[2]))
    images = torch.rand(1, 3, 16, 16)
    output = network(images)
    torch.testing.assert_close(seen[0], 255 * images)
    torch.testing.assert_close(output, upsampled[0] / 255)


def test_rlfn_refuses_what_its_attention_cannot_pool() -> None:
    network = create("rlfn", blocks=1)
    assert network(torch.rand(1, 3, 15, 15)).shape == (1, 3, 60, 60)
    with pytest.raises(NetworkError, match="20x14 pixels is too small for rlfn: give at least 15x15"):
        network(torch.rand(1, 3, 14, 20))


def test_contrast_is_the_mean_plus_the_deviation_and_has_a_slope_where_a_channel_is_constant() -> None:
    attention = ContrastAttention(16)
    seen: list[torch.Tensor] = []
    attention.conv_du.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    features = torch.randn(2, 16, 5, 7)
    attention(features)
    expected = features.mean((2, 3)) + features.std((2, 3), correction=0)
    torch.testing.assert_close(seen[0][..., 0, 0], expected)
    constant = torch.ones(1, 16, 4, 4, requires_grad=True)
    attention(constant).sum().backward()
    assert constant.grad is not None
    assert constant.grad.isfinite().all()


def test_pan_adds_details_to_the_bilinear_enlargement() -> None:
    network = create("pan", blocks=1)
    for parameter in network.get_submodule("conv_last").parameters():
        nn.init.zeros_(parameter)
    images = torch.rand(1, 3, 6, 8)
    expected = nn.functional.interpolate(images, scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(images), expected)


def test_weights_of_another_scale_are_refused(tmp_path: Path) -> None:
    for name in NAMES:
        torch.save(create(name, scale=2).state_dict(), tmp_path / "x2.pth")
        with pytest.raises(NetworkError, match=r"which enlarges by 4 \(weights of another scale do not fit\)"):
            load_weights(create(name, scale=4), tmp_path / "x2.pth")
