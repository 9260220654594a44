"""How a task's networks are applied to anybody's images, and what is told of each image.

Shape suffixes: K classes, C channels, H and W in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError

RANKED = 5
"""Classes that a row names at most."""
_STRIP = 256
"""Rows turned into bytes at once: of an image of 64 megapixels, a float copy is 768 MB."""
_OVERLAY = 0.55
"""Share of the class's colour in an overlay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What is told of one image."""

    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    """uint8 or uint16 (H, W), or uint8 (H, W, 3), by what follows the image's name in the file's: "" or "_overlay".
    The last is the one to look at."""
    row: Mapping[str, str | float] = field(default_factory=dict)
    """The image's line in a table, by column."""


Tell = Callable[[Tensor, Tensor, Sequence[str]], Outcome]
"""(one image's finished prediction, the image as the network was shown it (3, H, W) in [0, 1], classes) -> outcome."""


def by_shape(prediction: Tensor, image: Tensor, classes: Sequence[str]) -> Outcome:
    """What is usual for a prediction of this shape.

    (K,) is ranked by score; (1, H, W) in [0, 1] is a map of grey levels; (K, H, W) with K classes is a map of classes;
    (3, H, W) in [0, 1] otherwise is an image.

    Raises:
        RequestError: the prediction has another shape.
    """
    if prediction.dim() == 1:
        return ranked(prediction, image, classes)
    if prediction.dim() == 3:
        channels = len(prediction)
        if channels > 1 and channels == len(classes):
            return class_map(prediction, image, classes)
        if channels in (1, 3):
            return picture(prediction, image, classes)
    raise RequestError(
        f"a prediction of shape {tuple(prediction.shape)} is neither scores, nor a map, nor an image: the task has to "
        "say what is told of it (TaskSpec.application)."
    )


def ranked(scores_K: Tensor, _image: Tensor, classes: Sequence[str]) -> Outcome:
    """A row of the classes with the largest scores: `label_1`, `score_1`, `label_2`, ..."""
    values, places = scores_K.float().cpu().topk(min(RANKED, len(scores_K)))
    row: dict[str, str | float] = {}
    for rank, (score, place) in enumerate(zip(values.tolist(), places.tolist(), strict=True), start=1):
        row |= {f"label_{rank}": classes[place] if classes else str(place), f"score_{rank}": round(score, 6)}
    return Outcome(row=row)


def picture(prediction_CHW: Tensor, _image: Tensor, _classes: Sequence[str]) -> Outcome:
    """A picture of values in [0, 1], which are clamped: grey levels of one channel, colours of three."""
    return Outcome(pictures={"": as_bytes(prediction_CHW)})


def class_map(scores_KHW: Tensor, image_CHW: Tensor, classes: Sequence[str]) -> Outcome:
    """A picture of the classes' numbers, one of their colours over the image, and each class's share of the pixels."""
    places_HW = scores_KHW.argmax(dim=0).cpu().numpy()
    numbers = places_HW.astype(np.uint8 if len(scores_KHW) <= 256 else np.uint16)
    colours = class_colours(len(scores_KHW))[places_HW]
    under = as_bytes(image_CHW)
    if under.shape[:2] != colours.shape[:2]:
        raise RequestError(
            f"a map of {colours.shape[1]}x{colours.shape[0]} classes does not fit its image of "
            f"{under.shape[1]}x{under.shape[0]} pixels: the task has to say what is told of it (TaskSpec.application)."
        )
    mixed = _OVERLAY * colours.astype(np.float32) + (1 - _OVERLAY) * np.broadcast_to(under, colours.shape)
    shares = np.bincount(places_HW.ravel(), minlength=len(scores_KHW)) / places_HW.size
    names = classes or [str(place) for place in range(len(scores_KHW))]
    return Outcome(
        pictures={"": numbers, "_overlay": np.rint(mixed).astype(np.uint8)},
        row={f"share_{name}": round(float(share), 6) for name, share in zip(names, shares, strict=True)},
    )


def class_colours(count: int) -> np.ndarray:
    """(count, 3) uint8: colours by the bits of a class's number, as PASCAL VOC has them; 0 is black."""
    numbers = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * place + channel)) & 1) << (7 - place)).astype(np.uint8)
    return colours


def as_bytes(image_CHW: Tensor) -> np.ndarray:
    """(1 or 3, H, W) in [0, 1] to uint8, (H, W) or (H, W, 3); clamped, and rounded as the metrics of images do."""
    channels, height, width = image_CHW.shape
    pixels = np.empty((height, width, channels), np.uint8)
    for top in range(0, height, _STRIP):
        strip = image_CHW[:, top : top + _STRIP].float().clamp(0, 1).mul(255).round()
        pixels[top : top + _STRIP] = strip.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return pixels[..., 0] if channels == 1 else pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """How a task's networks are applied to images that are no data set's."""

    view: Callable[[Any, int], Callable[[Tensor], Tensor]] | None = None
    """(data options, generation) -> a function from pixels (3, H, W) uint8 to what evaluation would show of them to an
    arm of that generation, (3, h, w) in [0, 1]. None: whole images, and those in tiles that are large."""
    tell: Tell = by_shape
    reach: int = 128
    """Pixels by which a tile reaches beyond its own part: a multiple of 32, as large as the networks' answers depend on
    what is around."""
