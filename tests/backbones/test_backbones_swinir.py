"""SwinIR against an independent implementation, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from spandrel.architectures.SwinIR import SwinIR as PublishedSwinIR
from torch import Tensor, nn

from densedistill.backbones import NetworkError, create, load_weights
from densedistill.backbones.swinir import SwinIR, reflect_to_multiple
from densedistill.backbones.unscaled_attention import UnscaledWindowAttention
from densedistill.backbones.window_attention import (
    DropPath,
    WindowAttention,
    join_windows,
    relative_positions,
    shift_mask,
    split_windows,
)

# torch.meshgrid's default order is to change; the independent implementation relies on it.
pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")


def _published(upsampler: str, *, scale: int, width: int, depths: tuple[int, ...], heads: tuple[int, ...]) -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = PublishedSwinIR(
        img_size=64,
        window_size=8,
        embed_dim=width,
        depths=list(depths),
        num_heads=list(heads),
        mlp_ratio=2,
        upscale=scale,
        upsampler=upsampler,
        resi_connection="1conv",
    )
    return network.eval()


CPU = torch.device("cpu")
_LIGHTWEIGHT = {"width": 60, "depths": (6,) * 4, "heads": (6,) * 4}


@pytest.mark.parametrize("size", [(16, 24), (13, 19), (64, 64)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lightweight_outputs_equal_an_independent_implementation(scale: int, size: tuple[int, int]) -> None:
    published = _published("pixelshuffledirect", scale=scale, **_LIGHTWEIGHT)
    ours = create("swinir-s", scale=scale).eval()
    ours.load_state_dict(published.state_dict())
    images = torch.rand(2, 3, *size)
    with torch.inference_mode():
        expected, actual = published(images), ours(images)
    assert actual.shape == (2, 3, scale * size[0], scale * size[1])
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_classical_end_equals_an_independent_implementation(scale: int) -> None:
    sizes = {"width": 36, "depths": (2, 3), "heads": (6, 3)}
    published = _published("pixelshuffle", scale=scale, **sizes)
    ours = create("swinir", scale=scale, upsampler="steps", **sizes).eval()
    ours.load_state_dict(published.state_dict())
    images = torch.rand(1, 3, 20, 9)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), published(images), atol=1e-5, rtol=0)


def test_keys_of_the_classical_network_are_the_authors() -> None:
    published = _published("pixelshuffle", scale=4, width=180, depths=(6,) * 6, heads=(6,) * 6).state_dict()
    expected = {key: value.shape for key, value in published.items() if not key.endswith("attn_mask")}
    assert {key: value.shape for key, value in create("swinir-m").state_dict().items()} == expected


def test_published_files_load_strictly(tmp_path: Path) -> None:
    published = _published("pixelshuffledirect", scale=4, **_LIGHTWEIGHT)
    torch.save({"params": published.state_dict()}, tmp_path / "swinir.pth")
    ours = create("swinir-s").eval()
    load_weights(ours, tmp_path / "swinir.pth")
    images = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), published(images), atol=1e-5, rtol=0)
    with pytest.raises(NetworkError, match="another network"):
        load_weights(create("swinir-s", scale=2), tmp_path / "swinir.pth")


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (8, 8), (9, 17)])
def test_any_size_of_two_pixels_or_more(size: tuple[int, int]) -> None:
    network = create("swinir", scale=3, width=12, depths=(2,)).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, *size)).shape == (1, 3, 3 * size[0], 3 * size[1])
    with pytest.raises(NetworkError, match="at least 2x2"):
        network(torch.rand(1, 3, 1, 8))


@pytest.mark.parametrize("size", [(2, 3), (5, 9), (8, 16), (11, 4)])
def test_padding_is_numpys_reflection(size: tuple[int, int]) -> None:
    images = torch.rand(1, 2, *size)
    down, right = -size[0] % 8, -size[1] % 8
    expected = np.pad(images.numpy(), ((0, 0), (0, 0), (0, down), (0, right)), mode="reflect")
    np.testing.assert_array_equal(reflect_to_multiple(images, 8).numpy(), expected)


def test_windows_split_and_join() -> None:
    map_BHWC = torch.arange(2 * 4 * 6, dtype=torch.float32).reshape(2, 4, 6, 1)
    windows = split_windows(map_BHWC, 2)
    assert windows.shape == (12, 4, 1)
    assert windows[1].flatten().tolist() == [2.0, 3.0, 8.0, 9.0]
    assert torch.equal(join_windows(windows, 2, 4, 6), map_BHWC)


def test_mask_of_a_two_by_two_window_by_hand() -> None:
    # A 2x4 map of windows of 2, rolled by 1: rows 0 and 1 differ, and in the last window columns too.
    mask = shift_mask(2, 4, 2, torch.device("cpu"))
    allowed = mask == 0
    rows_apart = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=torch.bool)
    assert torch.equal(allowed[0], rows_apart)
    assert torch.equal(allowed[1], torch.eye(4, dtype=torch.bool))
    assert set(mask.unique().tolist()) == {-100.0, 0.0}


def test_relative_positions_of_a_window_of_two() -> None:
    # Offsets (down, right) from -1 to 1 number the rows of a 3x3 table; pixel pairs are (query, key).
    assert relative_positions(2).tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


@pytest.mark.parametrize("upsampler", ["direct", "steps"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_skip_starts_as_bicubic(scale: int, upsampler: str) -> None:
    network = create("swinir", scale=scale, width=12, depths=(2,), skip="bicubic", upsampler=upsampler)
    images = torch.rand(2, 3, 7, 10)
    expected = F.interpolate(images, scale_factor=scale, mode="bicubic", align_corners=False)
    assert torch.equal(network(images), expected)


def test_tap_is_a_map_at_the_inputs_resolution() -> None:
    network = create("swinir", width=12, depths=(2,))
    taps: list[Tensor] = []
    network.get_submodule("conv_after_body").register_forward_hook(lambda *call: taps.append(call[2]))
    network(torch.rand(2, 3, 16, 24))
    assert taps[0].shape == (2, 12, 16, 24)


def test_bfloat16_autocast_and_channels_last_stay_close() -> None:
    torch.manual_seed(0)
    network = create("swinir", skip="none").eval()
    images = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        expected = network(images)
        last = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            half = network(images)
    torch.testing.assert_close(last, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(half.float(), expected, atol=2e-2, rtol=0)


def test_every_parameter_learns() -> None:
    network = create("swinir", width=12, depths=(2, 2))
    network(torch.rand(1, 3, 16, 16)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_drop_path_keeps_the_mean_and_drops_whole_images() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    dropped = drop(torch.ones(4000, 2, 3))
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(dropped))
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert abs(dropped.mean().item() - 1) < 0.04
    assert torch.equal(drop.eval()(torch.ones(4)), torch.ones(4))


def test_published_configurations_use_drop_path_and_it_can_be_off() -> None:
    def rates(network: nn.Module) -> list[float]:
        return [module.rate for module in network.modules() if isinstance(module, DropPath)]

    published = rates(create("swinir-s"))
    assert (published[0], published[-1], len(published)) == (0.0, pytest.approx(0.1), 24)
    assert set(rates(create("swinir-s", drop_path=0.0))) == {0.0}


def test_export_of_a_fixed_size_gives_the_same_output() -> None:
    network = create("swinir", width=12, depths=(2,)).eval()
    assert isinstance(network, SwinIR)
    images = torch.rand(1, 3, 12, 9)
    exported = torch.export.export(network, (images,)).module()
    with torch.inference_mode():
        torch.testing.assert_close(exported(images), network(images))


def test_the_mask_of_one_small_size_is_kept() -> None:
    network = create("swinir", width=12, depths=(2,), drop_path=0.0).eval()
    small, wide, large = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 24), torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        before = network(wide)
        network(small)
        kept = network._mask(16, 16, CPU)
        assert network._mask(16, 16, CPU) is kept
        torch.testing.assert_close(network(wide), before, rtol=0, atol=0)
        assert network._mask(16, 24, CPU).shape[0] == 6
        network(large)
        assert network._mask(16, 24, CPU) is network._mask(16, 24, CPU), "one of 400 windows takes no place"
    network.train()(wide).sum().backward()  # what was kept in inference mode would be refused here
    assert not any("kept" in name or "mask" in name for name in network.state_dict())


@pytest.mark.parametrize(("width", "heads"), [(12, 2), (10, 2), (20, 4)])
@pytest.mark.parametrize("shifted", [True, False])
def test_attention_without_a_softmax_is_the_same_in_float64(width: int, heads: int, shifted: bool) -> None:
    torch.manual_seed(0)
    attention = WindowAttention(width, heads, 4).double()
    nn.init.normal_(attention.relative_position_bias_table)
    windows = torch.randn(12, 16, width, dtype=torch.float64)
    mask = shift_mask(8, 12, 4, CPU) if shifted else None
    bias = attention.relative_position_bias_table[attention.relative_position_index].permute(2, 0, 1)
    form = UnscaledWindowAttention(attention.qkv, attention.proj, bias, torch.float64)
    # A forbidden pair has e^-100 of a share there, and e^-70 here.
    torch.testing.assert_close(form(windows, mask), attention(windows, mask), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("factor", [200.0, -200.0])
def test_no_score_is_too_large_for_it(factor: float) -> None:
    """Exponentials of thousands are infinite, and of their negatives none is left to divide by."""
    torch.manual_seed(0)
    attention = WindowAttention(12, 2, 4)
    nn.init.constant_(attention.relative_position_bias_table, factor)
    form = attention.inference_form(CPU, torch.bfloat16)
    assert form is not None
    windows = 50 * torch.randn(4, 16, 12)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert form(windows.bfloat16(), None).isfinite().all()


def test_only_bfloat16_on_a_cpu_has_another_form() -> None:
    attention = WindowAttention(12, 2, 4)
    assert attention.inference_form(CPU, torch.float16) is None
    assert attention.inference_form(torch.device("cuda"), torch.bfloat16) is None
