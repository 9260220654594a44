"""VGG19 (Simonyan and Zisserman 2015) up to conv3_4, frozen, as the feature space of a perceptual loss."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from densedistill.backbones.errors import NetworkError
from densedistill.backbones.fetch import url_file
from densedistill.backbones.spec import Built
from densedistill.backbones.weights import read_state_dict

_BLOCKS = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256, 256))
"""Channels through the convolutions of each block; blocks are separated by 2x2 max-pools."""
_TORCHVISION_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_KERAS_MEAN_RGB = (123.68, 116.779, 103.939)
_KERAS_UNIT = 255 * sum(_IMAGENET_STD) / 3
"""Keras's weights see inputs, and so give features, this much larger than torchvision's, which see unit variance.
Their features are divided by it: a perceptual loss then weighs about the same with either file."""


class VGG19Features(nn.Module):
    """Features of conv3_4 before its ReLU.

    Shape: RGB in [0, 1], (B, 3, H, W), to (B, 256, H // 4, W // 4). Normalises by itself, as its weights expect, and
    divides the features by `unit`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], *, unit: float = 1.0) -> None:
        super().__init__()
        self.unit = unit
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        layers: list[nn.Module] = []
        for block in _BLOCKS:
            for c_in, c_out in itertools.pairwise(block):
                layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-2])

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Extract; see the class for shapes."""
        features: Tensor = self.features((images_BCHW - self.mean) / self.std)
        return features / self.unit

    def layers(self, images_BCHW: Tensor) -> list[Tensor]:
        """Features of the first convolution of each block, after its ReLU, and of conv3_4, each divided by `unit`."""
        features, kept = (images_BCHW - self.mean) / self.std, []
        firsts = itertools.accumulate((2 * len(block) - 1 for block in _BLOCKS[:-1]), initial=1)
        wanted = {*firsts, len(self.features) - 1}
        for place, layer in enumerate(self.features):
            features = layer(features)
            if place in wanted:
                kept.append(features / self.unit)
        return kept

    def convolutions(self) -> list[tuple[str, nn.Conv2d]]:
        """The convolutions by name, `1_1` to `3_4`, in order."""
        names = [f"{b}_{i}" for b, block in enumerate(_BLOCKS, start=1) for i in range(1, len(block))]
        return list(zip(names, (m for m in self.features if isinstance(m, nn.Conv2d)), strict=True))


def vgg19_features(source: Literal["torchvision", "none"] | Path) -> Built:
    """Frozen VGG19 features in evaluation mode.

    Args:
        source: `torchvision` for its ImageNet weights, from the cache or downloaded; a file: Keras's weights as `.npz`
            (`block1_conv1/kernel`, ...) or torchvision's as `.pth` or `.safetensors` (`features.0.weight`, ...);
            `none` for random weights, for shapes and dry runs alone.

    Raises:
        WeightsUnavailableError: torchvision's weights are not cached and cannot be downloaded.
        NetworkError: the file is missing, damaged, or not of VGG19.
    """
    if isinstance(source, Path) and source.suffix.lower() == ".npz":
        network = VGG19Features(tuple(m / 255 for m in _KERAS_MEAN_RGB), (1 / 255,) * 3, unit=_KERAS_UNIT)
        _load_keras(network, source)
        init = f"file {source.name}"
    else:
        network = VGG19Features(_IMAGENET_MEAN, _IMAGENET_STD)
        init = "random"
        if source != "none":
            path = source if isinstance(source, Path) else url_file(_TORCHVISION_URL)
            _load_torchvision(network, path)
            init = f"file {path.name}" if isinstance(source, Path) else "imagenet (torchvision vgg19)"
    network.requires_grad_(False).eval()
    return Built(module=network, init=init)


def _load_keras(network: VGG19Features, path: Path) -> None:
    """Keras keeps kernels as (height, width, in, out) and sees BGR: turned to (out, in, height, width) and RGB."""
    if not path.is_file():
        raise NetworkError(f"there is no weight file {path}; check the path.")
    arrays: dict[str, Tensor] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            for name, _ in network.convolutions():
                kernel_HWIO = stored[f"block{name.replace('_', '_conv')}/kernel"].astype(np.float32)
                kernel_OIHW = kernel_HWIO.transpose(3, 2, 0, 1)
                if name == "1_1":
                    kernel_OIHW = kernel_OIHW[:, ::-1]
                arrays[f"{name}.weight"] = torch.from_numpy(np.ascontiguousarray(kernel_OIHW))
                bias = stored[f"block{name.replace('_', '_conv')}/bias"].astype(np.float32)
                arrays[f"{name}.bias"] = torch.from_numpy(bias)
    except (zipfile.BadZipFile, EOFError, ValueError, OSError) as error:
        raise NetworkError(f"{path} is damaged, cut short, or no .npz of plain arrays; fetch it again.") from error
    except KeyError as error:
        raise NetworkError(f"{path} does not hold VGG19's convolutions under Keras's names: {error.args[0]}") from error
    _fill(network, arrays, path)


def _load_torchvision(network: VGG19Features, path: Path) -> None:
    state = read_state_dict(path)
    arrays: dict[str, Tensor] = {}
    for name, place in zip((n for n, _ in network.convolutions()), _places(network), strict=True):
        for part in ("weight", "bias"):
            key = f"features.{place}.{part}"
            if key not in state:
                raise NetworkError(f"{path} does not hold VGG19's convolutions under torchvision's names: no {key}.")
            arrays[f"{name}.{part}"] = state[key]
    _fill(network, arrays, path)


def _places(network: VGG19Features) -> list[int]:
    return [place for place, module in enumerate(network.features) if isinstance(module, nn.Conv2d)]


def _fill(network: VGG19Features, arrays: Mapping[str, Tensor], path: Path) -> None:
    for name, convolution in network.convolutions():
        for part, own in convolution.named_parameters():
            value = arrays[f"{name}.{part}"]
            if value.shape != own.shape:
                raise NetworkError(
                    f"{path} has conv{name}.{part} of shape {tuple(value.shape)} where VGG19 has {tuple(own.shape)}."
                )
            own.data.copy_(value)
