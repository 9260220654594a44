"""PiDiNet: differences of pixels as plain convolutions, its shapes, and the published weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from densedistill.backbones import NetworkError, count_parameters, create, load_weights
from densedistill.backbones.pixel_difference import Difference, PixelDifference, plain_kernel
from densedistill.datasets.edges import EdgeData, load_edges

PARAMETERS = {"pidinet": 710_149, "pidinet-small": 183_763, "pidinet-tiny": 84_477}
RING = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
"""Neighbours of a pixel as (down, right), clockwise from the upper left."""


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_pairs(image: Tensor, weight: Tensor, difference: Difference, y: int, x: int) -> float:
    """The paper's sum over pairs of pixels at one place of an image (H, W).

    Weights (3, 3) lie at their pixel's place; those of radial pairs fill it in row order from its second place on.
    """
    total = 0.0
    in_rows = sorted(RING)
    for place, (down, right) in enumerate(RING):
        if difference == "central":
            pair = image[y + down, x + right] - image[y, x]
        elif difference == "angular":
            onward = RING[(place + 1) % len(RING)]
            pair = image[y + down, x + right] - image[y + onward[0], x + onward[1]]
        else:
            pair = image[y + 2 * down, x + 2 * right] - image[y + down, x + right]
        at = (
            weight.flatten()[1 + in_rows.index((down, right))]
            if difference == "radial"
            else weight[1 + down, 1 + right]
        )
        total += float(at * pair)
    return total


@pytest.mark.parametrize("difference", ["central", "angular", "radial"])
def test_the_plain_convolution_is_the_sum_over_pairs(difference: Difference) -> None:
    image, weight = noise(9, 8), noise(1, 1, 3, 3, seed=1)
    convolution = PixelDifference(1, 1, difference).double()
    convolution.weight.data.copy_(weight)
    with torch.no_grad():
        answer = convolution(image[None, None])[0, 0]
    assert answer.shape == image.shape
    for y, x in ((2, 2), (4, 5), (6, 3)):
        assert float(answer[y, x]) == pytest.approx(by_pairs(image, weight[0, 0], difference, y, x), abs=1e-12)


@pytest.mark.parametrize("difference", ["central", "angular", "radial"])
def test_differences_do_not_see_brightness_and_weights_learn(difference: Difference) -> None:
    weight = noise(4, 2, 3, 3).requires_grad_()
    kernel = plain_kernel(weight, difference)
    torch.testing.assert_close(kernel.sum(dim=(2, 3)), torch.zeros(4, 2, dtype=torch.float64))
    kernel.square().sum().backward()
    assert weight.grad is not None
    without_pair = 0 if difference == "radial" else 4
    used = [place for place in range(9) if place != without_pair]
    assert (weight.grad.flatten(2)[:, :, used] != 0).all()


def test_differences_are_made_in_full_precision_under_autocast() -> None:
    convolution = PixelDifference(1, 1, "central")
    # 256 and 1/256 are exact in bf16, their sum is not: made in bf16, the kernel's sum would be far from 0.
    convolution.weight.data.copy_(torch.tensor([256.0, 1 / 256] + [0.0] * 7).view(1, 1, 3, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        kernel = plain_kernel(convolution.weight, "central")
    assert kernel.dtype == torch.float32
    assert float(kernel.detach().sum()) == 0.0


@pytest.mark.parametrize("name", PARAMETERS)
def test_any_size_gives_one_map_and_every_stage_its_features(name: str) -> None:
    network = create(name).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 8, 13)).shape == (2, 1, 8, 13)
    modules = dict(network.named_modules())
    assert [info["module"] for info in network.feature_info] == [f"attentions.{stage}" for stage in (3, 2, 1, 0)]
    assert all(info["module"] in modules for info in network.feature_info)


def test_an_image_too_small_to_halve_three_times_is_refused() -> None:
    with pytest.raises(NetworkError, match="7x20 pixels is too small"):
        create("pidinet-tiny")(torch.zeros(1, 3, 20, 7))


@pytest.fixture(scope="module")
def photographs(data_root: Path) -> list[tuple[Tensor, Tensor]]:
    """The middles of two BSDS500 images, normalised, and where anyone drew a boundary; the middle of it left out."""
    if not (data_root / "bsds500").is_dir():
        pytest.skip(f"no BSDS500 at {data_root}")
    data = load_edges(EdgeData(name="bsds500", root=data_root, limit=2, consensus="soft"))
    middle = (..., slice(64, 224), slice(64, 224))
    return [
        (batch["input"][middle], batch["target"][middle] > 0)
        for batch in data.val.batches(1, device=torch.device("cpu"))
    ]


@pytest.mark.parametrize(("name", "parameters"), list(PARAMETERS.items()))
def test_published_weights_draw_boundaries(
    name: str, parameters: int, data_root: Path, photographs: list[tuple[Tensor, Tensor]]
) -> None:
    path = data_root / "weights" / "bsds_pidinet" / f"table5_{name}.pth"
    if not path.is_file():
        pytest.skip(f"no published weights at {path}")
    network = create(name).eval()
    assert count_parameters(network) == parameters
    load_weights(network, path)
    for image, boundary in photographs:
        with torch.inference_mode():
            probability = network(image).sigmoid()
        away = max_pool2d(boundary.float(), 5, 1, 2) == 0
        # 0.64 to 0.71 here. At most 0.52 with angular pairs the other way round, radial ones of the other sign, the
        # kinds in another order or none of them.
        assert float(probability[boundary].mean() - probability[away].mean()) > 0.6


def test_weights_of_another_width_are_refused(data_root: Path) -> None:
    path = data_root / "weights" / "bsds_pidinet" / "table5_pidinet-tiny.pth"
    if not path.is_file():
        pytest.skip(f"no published weights at {path}")
    with pytest.raises(NetworkError, match="another network"):
        load_weights(create("pidinet-small"), path)
