"""The published CIFAR-10 weights in `cifar/resnet20-a` and `-56-a`, on the JPEG re-encoding of CIFAR-10's test images.

Published (Idelbayev, pytorch_resnet_cifar10): 91.73 % and 93.39 %, on the images as they are.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from densedistill.backbones import NetworkError, create, load_weights

_PER_CLASS = 50
_FILES = {"resnet20-a": "resnet20-12fca82f.th", "resnet56-a": "resnet56-4bfd9763.th"}


def _weights(data_root: Path, name: str) -> Path:
    path = data_root / "weights" / "cifar10_resnet_akamaster" / _FILES[name]
    if not path.is_file():
        pytest.skip(f"no published weights at {path}")
    return path


@pytest.fixture(scope="module")
def labelled(data_root: Path) -> tuple[Tensor, Tensor]:
    """The first test images of each class, normalised as the weights expect, and their classes."""
    archive = data_root / "cifar10_jpeg" / "test.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no CIFAR-10 at {archive}")
    of_class: dict[str, list[np.ndarray]] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            stored = tar.extractfile(member) if member.isfile() else None
            found = of_class.setdefault(member.name.split("/")[1], []) if stored else []
            if stored and len(found) < _PER_CLASS:
                found.append(np.asarray(Image.open(io.BytesIO(stored.read())).convert("RGB")))
    pixels = np.stack([image for name in sorted(of_class) for image in of_class[name]])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean[:, None, None]) / std[:, None, None], torch.arange(10).repeat_interleave(_PER_CLASS)


@pytest.mark.parametrize("name", _FILES)
def test_published_weights_classify(name: str, data_root: Path, labelled: tuple[Tensor, Tensor]) -> None:
    network = create(f"cifar/{name}", num_classes=10).eval()
    load_weights(network, _weights(data_root, name))
    images, classes = labelled
    with torch.inference_mode():
        found = torch.cat([network(part).argmax(1) for part in images.split(100)])
    # 79.8 % and 83.0 % of these, 81.0 % and 83.2 % of all 10,000: what JPEG of quality 75 leaves.
    assert (found == classes).double().mean() > 0.75  # with the shortcut's zeros in the wrong place: 0.15


def test_the_two_kinds_of_resnet_do_not_exchange_weights(data_root: Path) -> None:
    with pytest.raises(NetworkError, match="another network"):
        load_weights(create("cifar/resnet20", num_classes=10), _weights(data_root, "resnet20-a"))
