"""Data to measure on: random images of a task's kind, held in memory as its real ones would be.

Speed does not depend on what images show; sizes, types and augmentation are those of the task. A task from a plugin,
whose options are of a type unknown here, brings its own data.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import numpy as np
import torch
from pydantic import BaseModel

from densedistill.datasets.base import TaskData
from densedistill.datasets.classification import ClassificationData
from densedistill.datasets.dense import IMAGENET_MEAN, IMAGENET_STD, DenseEval, DenseTrain, Symmetry
from densedistill.datasets.edges import EdgeData
from densedistill.datasets.memory import MemoryEvalSet, MemoryTrainSet, TrainingOptions
from densedistill.datasets.normalisation import Normalisation
from densedistill.datasets.super_resolution import SuperResolutionData
from densedistill.distill.errors import RequestError

NAME = "synthetic"
_BYTES = 64 * 2**20
"""Larger than any processor's cache and small beside its memory: batches are gathered from RAM, as real ones are."""
_MOST = 4096
_LEAST = 16
_EDGE_SHARE = 0.05
_SMALLEST_COLLAGE = 32

Setting = tuple[str, object]


@singledispatch
def sized(options: BaseModel, size: int | None) -> list[Setting]:
    """Fields of the configuration that set the side of a training view to `size` pixels (None: leave it).

    For labelled images also an augmentation that every row has: crop and flip.

    Raises:
        RequestError: a size is given, and the options are of a type that has none this function knows.
    """
    if size is None:
        return []
    raise RequestError(
        f"--image-size {size}: this task has data of its own; leave the flag out, or give --set data.FIELD={size}."
    )


@sized.register
def _(_options: ClassificationData, size: int | None) -> list[Setting]:
    crop_and_flip: Setting = ("data.augmentation", {"crop_padding": 4, "flip": True})
    return [crop_and_flip] if size is None else [crop_and_flip, ("data.input_size", size)]


@sized.register
def _(_options: EdgeData, size: int | None) -> list[Setting]:
    return [] if size is None else [("data.size", size), ("data.collage_size", max(size, _SMALLEST_COLLAGE))]


@sized.register
def _(options: SuperResolutionData, size: int | None) -> list[Setting]:
    return [] if size is None else [("data.hr_patch", size * options.scale)]


@singledispatch
def synthetic(_options: BaseModel, _images: int | None, _classes: int) -> TaskData | None:
    """A set of `images` random images (None: as many as fit 64 MiB), or None for options of an unknown type."""
    return None


@synthetic.register
def _(options: ClassificationData, images: int | None, classes: int) -> TaskData:
    side = options.input_size or 32
    count = images or _fitting(3 * side * side)
    normalisation = Normalisation(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    training = TrainingOptions(augmentation=options.augmentation, normalisation=normalisation)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, side, side), np.uint8))
    labels = np.arange(count, dtype=np.int64) % classes
    val = MemoryEvalSet(pixels[:2], labels[:2], ("a", "b"), normalisation)
    return TaskData(
        name=NAME,
        train=MemoryTrainSet(pixels, labels, training),
        val=val,
        tests={NAME: val},
        fingerprint=NAME,
        embedded=True,
        classes=tuple(f"class {place}" for place in range(classes)),
        input_mean=normalisation.mean,
        input_std=normalisation.std,
    )


@synthetic.register
def _(options: EdgeData, images: int | None, _classes: int) -> TaskData:
    side = options.size + options.size // 4
    count = images or _fitting(4 * side * side)
    random = np.random.default_rng(0)
    inputs = [random.integers(0, 256, (3, side, side), np.uint8) for _ in range(count)]
    targets = [(random.random((1, side, side)) < _EDGE_SHARE) * np.uint8(255) for _ in range(count)]
    symmetry: Symmetry = "flip" if options.flip else "none"
    return _dense(
        DenseTrain(
            inputs=inputs,
            targets=targets,
            crop=options.size,
            symmetry=symmetry,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        )
    )


@synthetic.register
def _(options: SuperResolutionData, images: int | None, _classes: int) -> TaskData:
    crop, scale = options.hr_patch // options.scale, options.scale
    side = 2 * crop
    count = images or _fitting(3 * side * side * (1 + scale * scale))
    random = np.random.default_rng(0)
    inputs = [random.integers(0, 256, (3, side, side), np.uint8) for _ in range(count)]
    targets = [low.repeat(scale, axis=1).repeat(scale, axis=2) for low in inputs]
    symmetry: Symmetry = "dihedral" if options.augment else "none"
    return _dense(DenseTrain(inputs=inputs, targets=targets, crop=crop, scale=scale, symmetry=symmetry))


def _fitting(image_bytes: int) -> int:
    return min(max(_BYTES // image_bytes, _LEAST), _MOST)


def _dense(train: DenseTrain) -> TaskData:
    names: Sequence[str] = ("a", "b")
    val = DenseEval(ids=names, inputs=train.inputs[:2], targets=train.targets[:2], mean=train.mean, std=train.std)
    return TaskData(
        name=NAME,
        train=train,
        val=val,
        tests={NAME: val},
        fingerprint=NAME,
        embedded=True,
        input_mean=train.mean,
        input_std=train.std,
    )
