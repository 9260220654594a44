"""VGG19 features against a direct computation, from each kind of file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from torch import nn

from densedistill.backbones import NetworkError, WeightsUnavailableError, fetch, vgg19_features
from densedistill.backbones.vgg import VGG19Features

_SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
_DATA = Path(os.environ.get("DENSEDISTILL_DATA", _SHARED))
_NPZ = _DATA / "weights" / "vgg19_imagenet_keras_block1-3.npz"
real_weights = pytest.mark.skipif(not _NPZ.is_file(), reason=f"needs {_NPZ.name} under DENSEDISTILL_DATA")

_SHAPES = {
    "block1_conv1": (3, 64),
    "block1_conv2": (64, 64),
    "block2_conv1": (64, 128),
    "block2_conv2": (128, 128),
    "block3_conv1": (128, 256),
    "block3_conv2": (256, 256),
    "block3_conv3": (256, 256),
    "block3_conv4": (256, 256),
}


def _noise() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for name, (c_in, c_out) in _SHAPES.items():
        arrays[f"{name}/kernel"] = rng.normal(0, (2 / (9 * c_in)) ** 0.5, (3, 3, c_in, c_out)).astype(np.float32)
        arrays[f"{name}/bias"] = rng.normal(0, 0.1, c_out).astype(np.float32)
    return arrays


def _direct_conv1_1(image_RGB: np.ndarray, kernel_HWIO: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """conv1_1 as Keras's network sees the image: BGR in 0..255, means subtracted, zero padding; (H, W, 64)."""
    bgr = image_RGB[..., ::-1].astype(np.float64) * 255 - np.array([103.939, 116.779, 123.68])
    padded = np.pad(bgr, ((1, 1), (1, 1), (0, 0)))
    channels = [correlate(padded, kernel_HWIO[..., c], mode="valid")[..., 0] for c in range(kernel_HWIO.shape[-1])]
    return np.stack(channels, axis=-1) + bias


def _check_first_layer(path: Path, arrays: dict[str, np.ndarray]) -> None:
    network = vgg19_features(path).module
    assert isinstance(network, VGG19Features)
    image = np.random.default_rng(1).random((6, 5, 3)).astype(np.float32)
    seen: list[torch.Tensor] = []
    network.features[0].register_forward_hook(lambda *call: seen.append(call[2]))
    network(torch.from_numpy(image).permute(2, 0, 1)[None])
    expected = _direct_conv1_1(image, arrays["block1_conv1/kernel"], arrays["block1_conv1/bias"])
    actual = seen[0][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-3 * np.abs(expected).max())


@real_weights
def test_published_keras_weights_give_the_directly_computed_first_layer() -> None:
    with np.load(_NPZ, allow_pickle=False) as stored:
        _check_first_layer(_NPZ, dict(stored))


def test_keras_file_gives_the_directly_computed_first_layer(tmp_path: Path) -> None:
    np.savez(tmp_path / "vgg.npz", **_noise())
    _check_first_layer(tmp_path / "vgg.npz", _noise())


def test_the_tap_is_conv3_4_before_its_relu_and_frozen(tmp_path: Path) -> None:
    np.savez(tmp_path / "vgg.npz", **_noise())
    built = vgg19_features(tmp_path / "vgg.npz")
    assert built.init == "file vgg.npz"
    assert not built.module.training
    assert not any(p.requires_grad for p in built.module.parameters())
    images = torch.rand(2, 3, 17, 24, requires_grad=True)
    features = built.module(images)
    assert features.shape == (2, 256, 4, 6)
    assert features.min() < 0
    features.square().mean().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def _reference(arrays: dict[str, np.ndarray]) -> nn.Sequential:
    """torchvision's own VGG19 up to conv3_4, holding Keras's arrays as they are."""
    from torchvision.models import vgg19

    features = vgg19(weights=None).features[:17]
    convolutions = [module for module in features if isinstance(module, nn.Conv2d)]
    for name, convolution in zip(_SHAPES, convolutions, strict=True):
        kernel = arrays[f"{name}/kernel"].transpose(3, 2, 0, 1)
        convolution.weight.data = torch.from_numpy(np.ascontiguousarray(kernel))
        convolution.bias.data = torch.from_numpy(arrays[f"{name}/bias"])
    return features.eval()


def test_both_kinds_of_file_equal_torchvisions_network(tmp_path: Path) -> None:
    arrays = _noise()
    np.savez(tmp_path / "vgg.npz", **arrays)
    reference = _reference(arrays)
    torch.save({f"features.{k}": v for k, v in reference.state_dict().items()}, tmp_path / "vgg.pth")
    images = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        bgr = images.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
        torch.testing.assert_close(
            vgg19_features(tmp_path / "vgg.npz").module(images) * 255 * 0.226,
            reference(bgr),
            rtol=1e-3,
            atol=1e-2,
        )
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        normalised = (images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
        torch.testing.assert_close(
            vgg19_features(tmp_path / "vgg.pth").module(images), reference(normalised), rtol=1e-4, atol=1e-4
        )


def test_torchvisions_weights_are_the_ones_it_publishes() -> None:
    from torchvision.models import VGG19_Weights

    from densedistill.backbones import vgg

    assert VGG19_Weights.IMAGENET1K_V1.url == vgg._TORCHVISION_URL


def test_sources_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "reachable", lambda url: False)
    with pytest.raises(WeightsUnavailableError, match="cannot be reached"):
        vgg19_features("torchvision")
    assert vgg19_features("none").init == "random"
    with pytest.raises(NetworkError, match="no weight file"):
        vgg19_features(tmp_path / "none.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(NetworkError, match="damaged"):
        vgg19_features(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(NetworkError, match="does not hold VGG19"):
        vgg19_features(tmp_path / "other.npz")
    arrays = _noise()
    arrays["block2_conv1/bias"] = np.zeros(3, np.float32)
    np.savez(tmp_path / "shape.npz", **arrays)
    with pytest.raises(NetworkError, match=r"conv2_1\.bias of shape \(3,\)"):
        vgg19_features(tmp_path / "shape.npz")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    with pytest.raises(NetworkError, match=r"no features\.0\.bias"):
        vgg19_features(tmp_path / "part.pth")


def test_pickled_objects_in_an_npz_are_refused(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {**_noise(), "block1_conv1/kernel": np.array([{"a": 1}], dtype=object)}
    np.savez(tmp_path / "evil.npz", **arrays)
    with pytest.raises(NetworkError, match="plain arrays"):
        vgg19_features(tmp_path / "evil.npz")
