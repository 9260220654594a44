"""Super-resolved images of any origin: PNG files named like the true images."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from densedistill.datasets.pixels import read_rgb, to_planes
from densedistill.datasets.roots import data_root
from densedistill.datasets.sr_sources import HrImage, find_images
from densedistill.distill.errors import RequestError
from densedistill.distill.metrics import ImageQuality
from densedistill.tools.evaluate_files import require_all
from densedistill.tools.evaluate_output import document
from densedistill.tools.messages import bar, say


def score_super_resolution(options: argparse.Namespace) -> dict[str, Any]:
    """PSNR and SSIM of the images in a folder.

    Raises:
        RequestError: a prediction is missing or of another size, or an option belongs to another task.
        DataError: an image is missing or unreadable.
    """
    for given, name, owner in (
        (options.split == "val", "--split val", "a run"),
        (options.nms is not None, "--nms", "edges"),
        (not options.thin, "--no-thin", "edges"),
    ):
        if given:
            raise RequestError(f"{name} belongs to {owner}: leave it out beside --predictions for sr.")
    name = options.data or "folder"
    root = data_root(None if options.data_root is None else Path(options.data_root), name)
    scale = 4 if options.scale is None else options.scale
    if scale < 1:
        raise RequestError(f"--scale is {scale}: give 1 or more, the factor by which the images were enlarged.")
    metric = ImageQuality(scale)
    truths = find_images(root, "." if name == "folder" else name)
    names = [truth.name for truth in truths]
    files = require_all(Path(options.predictions), names)
    cropped = 0
    with bar("scoring", len(truths)) as progress:
        for truth, file in zip(truths, files, strict=True):
            pair = _pair(file, truth, scale)
            metric.update(pair.prediction, {"target": pair.target})
            cropped += pair.cropped
            progress.step()
    if cropped:
        say(f"{cropped} of {len(truths)} true images are cropped at the bottom and right to their predictions' size")
    per_image = dict(zip(names, metric.per_image(), strict=True))
    return document("sr", name, len(names), metric.compute(), per_image)


@dataclass(frozen=True, slots=True)
class _Pair:
    """What is compared, both (1, 3, H, W) in [0, 1]."""

    prediction: torch.Tensor
    target: torch.Tensor
    cropped: bool
    """Whether the target is less than the true image."""


def _pair(path: Path, truth: HrImage, scale: int) -> _Pair:
    """Prediction and truth; the truth is cropped top-left to the prediction's size.

    Raises:
        RequestError: the sizes differ by more than what reducing by `scale` drops.
    """
    prediction, target = read_rgb(path), read_rgb(truth.path)
    if truth.crop is not None:
        target = target[: truth.crop[0], : truth.crop[1]]
    (height, width), (full_height, full_width) = prediction.shape[:2], target.shape[:2]
    if not (0 <= full_height - height < scale and 0 <= full_width - width < scale):
        raise RequestError(
            f"prediction '{path}' has {width}x{height} pixels and its true image {full_width}x{full_height}: give "
            f"images of the true size, less the last {scale - 1} rows and columns at most."
        )
    cropped = (height, width) != (full_height, full_width)
    return _Pair(_unit_range(prediction), _unit_range(target[:height, :width]), cropped)


def _unit_range(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(to_planes(pixels))[None].float() / 255
