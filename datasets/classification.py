"""Classification data by name: what may be asked for, and how it becomes a training set and evaluation sets."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from densedistill.datasets import cifar, imagefolder, photo_crops, tiny_imagenet
from densedistill.datasets.augment import ClassificationAugmentation, ColorJitter
from densedistill.datasets.base import DataError, TaskData
from densedistill.datasets.cifar import read_cifar10, read_cifar100
from densedistill.datasets.decoding import stack
from densedistill.datasets.frozen import FROZEN
from densedistill.datasets.imagefolder import read_imagefolder
from densedistill.datasets.labelled import (
    ClassificationSource,
    LabelledImages,
    first_per_class,
    hold_out_per_class,
)
from densedistill.datasets.mixing import Mixing
from densedistill.datasets.normalisation import Normalisation, measure
from densedistill.datasets.photo_crops import read_photo_crops
from densedistill.datasets.preparation import Preparation, Sizes
from densedistill.datasets.roots import data_root
from densedistill.datasets.tiny_imagenet import read_tiny_imagenet

__all__ = [
    "ClassificationAugmentation",
    "ClassificationData",
    "ColorJitter",
    "Mixing",
    "classification_names",
    "input_sizes",
    "load_classification",
]

_DEFAULT_VAL_SIZE = 0.1
_MEASURED_IMAGES = 5000


class ClassificationData(BaseModel):
    """Which classification data to load, and how."""

    model_config = FROZEN

    name: str = "photo-crops"
    """`cifar10`, `cifar100`, `tiny-imagenet`, `imagefolder`, or the embedded `photo-crops`."""
    root: Path | None = None
    """The folder that holds the data set; None: the environment variable DENSEDISTILL_DATA."""
    input_size: int | None = Field(default=None, ge=8)
    """Height and width of the images, in pixels; None: the data set's own (224 for `imagefolder`)."""
    teacher_size: int | None = Field(default=None, ge=8)
    """Height and width of the teacher's input; None: `input_size`. Views are then made at the larger size, as far as
    the data set has it, and resized for either network (antialiased bicubic): both see the same crop, colours, erased
    rectangle and mix. `augmentation.crop_padding` counts in the student's pixels."""
    detail: int | None = Field(default=None, ge=8)
    """Height and width that images are reduced to before anything else, in pixels: a larger input is enlarged from
    there and shows nothing more. None: all that the data set has. With `teacher_size` it tells apart what a larger
    teacher gains by its size and what by detail that the student never sees."""
    val_size: int | float | None = Field(default=None, gt=0)
    """Training images to hold out for validation: a number, or a share below 1. None: a tenth. Only for data sets
    without a validation part of their own."""
    split_seed: int = 0
    """Names the split; independent of the run's seed, so that runs of different seeds compare."""
    limit: int | None = Field(default=None, ge=1)
    """Training images to keep of each class, for short runs; None: all."""
    augmentation: ClassificationAugmentation = ClassificationAugmentation()
    workers: int = Field(default=2, ge=0)
    """Processes that decode images where the set exceeds the memory budget; 0: none, the training process itself."""
    memory_budget_mb: int = Field(default=2048, ge=0)
    """The set is held as uint8 pixels up to this size (MiB); above it images are decoded by `workers`."""
    download: bool = False
    """Fetch CIFAR's archive, with its checksum verified, where `root` lacks it."""


_Reader = Callable[[ClassificationData], ClassificationSource]

_READERS: Mapping[str, _Reader] = {
    "cifar10": lambda options: read_cifar10(data_root(options.root, options.name), options.download),
    "cifar100": lambda options: read_cifar100(data_root(options.root, options.name), options.download),
    "tiny-imagenet": lambda options: read_tiny_imagenet(data_root(options.root, options.name)),
    "imagefolder": lambda options: read_imagefolder(data_root(options.root, options.name)),
    "photo-crops": lambda options: read_photo_crops(options.split_seed),
}


_NATIVE_SIZES: Mapping[str, int] = {
    "cifar10": cifar.NATIVE_SIZE,
    "cifar100": cifar.NATIVE_SIZE,
    "tiny-imagenet": tiny_imagenet.NATIVE_SIZE,
    "imagefolder": imagefolder.NATIVE_SIZE,
    "photo-crops": photo_crops.NATIVE_SIZE,
}


def classification_names() -> tuple[str, ...]:
    """Every data set that `load_classification` knows."""
    return tuple(_READERS)


def load_classification(options: ClassificationData) -> TaskData:
    """Read, split and prepare a classification data set.

    A validation part is held out of train where the data set has none; selection never sees the test part. Images are
    resized to `input_size` once (antialiased bicubic, shorter side, central square).

    Raises:
        DataError: the name is unknown; the data is missing, damaged, or has a class that training lacks.
    """
    if options.name not in _READERS:
        nearest = difflib.get_close_matches(options.name, _READERS, n=1, cutoff=0.5)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        raise DataError(f"unknown classification data '{options.name}'.{hint} Choose one of: {', '.join(_READERS)}.")
    return _prepare(_split(_READERS[options.name](options), options), options)


def input_sizes(options: ClassificationData) -> Sizes:
    """Sides of the inputs that `load_classification` gives, in pixels; no data is read."""
    native = min(_NATIVE_SIZES[options.name], options.detail or _NATIVE_SIZES[options.name])
    student = options.input_size or native
    return Sizes(student=student, teacher=options.teacher_size or student, native=native, detail=options.detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Split:
    """A source after its validation part is held out and its training part is cut to the limit."""

    source: ClassificationSource
    train: LabelledImages
    val: LabelledImages
    fingerprint: str
    notes: tuple[str, ...]


def _split(source: ClassificationSource, options: ClassificationData) -> _Split:
    places = np.arange(len(source.train))
    notes = list(source.notes)
    val, held = source.val, np.empty(0, dtype=np.int64)
    if val is None:
        size = _DEFAULT_VAL_SIZE if options.val_size is None else options.val_size
        places, held = hold_out_per_class(source.train.labels, size, options.split_seed)
        val = source.train.select(held)
        notes.append(f"{len(held)} training images held out for validation (split seed {options.split_seed})")
    elif options.val_size is not None:
        raise DataError(f"{source.name} has a validation part of its own ({len(val)} images): val_size cannot be given")
    if options.limit is not None:
        kept = first_per_class(source.train.labels[places], options.limit, options.split_seed)
        places = places[kept]
        notes.append(f"at most {options.limit} training images per class")
    if options.detail is not None:
        notes.append(f"images reduced to {options.detail} pixels at most before anything else, also for a larger input")
    digest = hashlib.sha256(source.digest.encode())
    digest.update(places.astype("<i8").tobytes() + b"|" + held.astype("<i8").tobytes())
    return _Split(
        source=source,
        train=source.train.select(places),
        val=val,
        fingerprint=f"sha256:{digest.hexdigest()}",
        notes=tuple(notes),
    )


def _prepare(split: _Split, options: ClassificationData) -> TaskData:
    """The split as students take it and, where the teacher's input is of another size, as a teacher does."""
    source = split.source
    sizes = input_sizes(options)
    student = sizes.student
    normalisation = _normalisation(split, sizes.held(student))
    made = Preparation(
        split.train,
        split.val,
        source.tests,
        sizes,
        normalisation,
        workers=options.workers,
        memory_budget_mb=options.memory_budget_mb,
    )
    train = made.training(options.augmentation)
    data = TaskData(
        name=source.name,
        train=train,
        val=made.evaluation(split.val, student),
        tests=made.evaluations(student),
        fingerprint=split.fingerprint,
        embedded=source.embedded,
        notes=split.notes + sizes.notes(),
        classes=source.classes,
        input_mean=normalisation.mean,
        input_std=normalisation.std,
    )
    if sizes.teacher == student:
        return data
    teacher = dataclasses.replace(
        data,
        train=train.at(input_size=sizes.teacher),
        val=made.evaluation(split.val, sizes.teacher),
        tests=made.evaluations(sizes.teacher),
    )
    taught = dataclasses.replace(data, train=train.at(input_size=student, teacher_size=sizes.teacher))
    return dataclasses.replace(data, teacher=teacher, taught=taught)


def _normalisation(split: _Split, size: int) -> Normalisation:
    """Published statistics, or those of up to 5000 training images spread evenly over the set."""
    if split.source.normalisation is not None:
        mean, std = split.source.normalisation
        return Normalisation(mean=mean, std=std)
    step = -(-len(split.train) // _MEASURED_IMAGES)
    measured = split.train.select(np.arange(0, len(split.train), step))
    return measure(stack(measured.images.read, len(measured), size))
