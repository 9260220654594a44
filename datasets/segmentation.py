"""Segmentation data: collages or folders of images with the class of each pixel, as random views and whole images."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from densedistill.datasets.annotated import (
    PARTS,
    AnnotatedData,
    AnnotatedSplit,
    limit_notes,
    paired_files,
    paired_tests,
    scored_alone,
    split_of_collages,
    split_on_disk,
    tests_on_disk,
)
from densedistill.datasets.base import TaskData
from densedistill.datasets.bsds import Split
from densedistill.datasets.collage import MATERIALS, make_collages
from densedistill.datasets.collage_shapes import SHAPES
from densedistill.datasets.dense import IMAGENET_MEAN, IMAGENET_STD
from densedistill.datasets.dense_classes import IGNORED, MOST_CLASSES, ClassFiles, class_pair, count_classes
from densedistill.datasets.dense_files import AnnotatedFile
from densedistill.datasets.dense_pairs import Planes
from densedistill.datasets.dense_workers import dense_train
from densedistill.datasets.holdout import fingerprint


class SegmentationData(AnnotatedData):
    """Which images, and which views of them."""

    name: Literal["collage", "pairs"] = "collage"
    """`collage`: embedded. `pairs`: folders of images and masks below `root`."""
    classes: int | None = Field(default=None, ge=2, le=MOST_CLASSES)
    """`pairs`: how many there are. None: as many as the training masks name, which are all read for that."""
    view: Literal["crop", "resize"] = "crop"
    """`crop`: a random square. `resize`: the whole image at size x size, its mask by nearest neighbours."""
    collage_labels: Literal["material", "shape"] = "material"
    """What a collage's pixel is labelled by: the photograph that its texture is cut from, or the shape of its piece, of
    textures that training has never seen; that takes many more images to learn."""


def load_segmentation(options: SegmentationData) -> TaskData:
    """Batches: `input` (B, 3, H, W) with ImageNet's normalisation, `target` (B, H, W) int64, 255 where there is none.

    Evaluation images are whole, ordered by shape and then by name, in batches of one shape.

    Raises:
        DataError: data are missing or unreadable, a mask does not fit its image or holds numbers that are no classes,
            all masks are of one class, or no image fills a training view.
    """
    split, classes = _collages(options) if options.name == "collage" else _on_disk(options)
    return TaskData(
        name=options.name,
        embedded=options.name == "collage",
        train=dense_train(
            split.pairs["train"],
            crop=options.side,
            symmetry="flip" if options.flip else "none",
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            workers=options.workers,
            target_kind="classes",
        ),
        val=split.evaluation("val", options.workers, "classes"),
        tests={options.name: split.evaluation("test", options.workers, "classes")},
        fingerprint=fingerprint(split.entries),
        notes=split.notes,
        classes=classes,
        input_mean=IMAGENET_MEAN,
        input_std=IMAGENET_STD,
    )


def load_segmentation_tests(options: SegmentationData) -> TaskData:
    """The test images alone, for an arm that was trained elsewhere: `pairs` without a test folder are taken whole.

    Raises:
        DataError: data are missing or unreadable, or a mask does not fit its image or holds numbers that are no
            classes.
    """
    if options.name == "collage":
        return load_segmentation(options)
    found, notes = paired_tests(options)
    classes, counted = _classes(found, options, "test")
    split = tests_on_disk(found, functools.partial(_class_files, options, classes), options)
    split = replace(split, notes=(counted, *notes, *limit_notes(options), *split.notes))
    return scored_alone(options.name, split, options.workers, "classes", _numbers(classes))


def _collages(options: SegmentationData) -> tuple[AnnotatedSplit, tuple[str, ...]]:
    """The parts, and the names of the classes."""
    materials = options.collage_labels == "material"
    classes = MATERIALS if materials else ("background", *SHAPES)

    def make(part: Split, count: int) -> tuple[Sequence[str], Sequence[tuple[bytes, Planes]]]:
        made = make_collages(part, count, options.collage_size, options.split_seed, materials=materials)
        return made.photographs, [
            (image.tobytes() + labels.tobytes(), class_pair(image, labels, options.resized(part)))
            for image, labels in zip(made.images, made.textures if materials else made.shapes, strict=True)
        ]

    split, photographs = split_of_collages(make, options)
    origin = f"collages of photographs from scikit-image and scikit-learn; {len(classes)} classes: {', '.join(classes)}"
    divided = ("each photograph is divided: 60 % of its width for train, 20 % each for val and test",)
    textures = tuple(f"{part} textures: {', '.join(photographs[part])}" for part in PARTS)
    return replace(split, notes=(origin, *(divided if materials else textures))), classes


def _on_disk(options: SegmentationData) -> tuple[AnnotatedSplit, tuple[str, ...]]:
    """The parts, and the names of the classes: their numbers."""
    found, notes = paired_files(options)
    classes, counted = _classes(found["train"], options, "training")
    split = split_on_disk(found, functools.partial(_class_files, options, classes), options)
    told = (counted, *notes, *limit_notes(options), *split.notes)
    return replace(split, notes=told), _numbers(classes)


def _class_files(options: SegmentationData, classes: int, part: Split, files: Sequence[AnnotatedFile]) -> ClassFiles:
    return ClassFiles(files=tuple(files), classes=classes, side=options.resized(part))


def _numbers(classes: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(classes))


def _classes(files: Sequence[AnnotatedFile], options: SegmentationData, which: str) -> tuple[int, str]:
    """How many classes there are, and where that is known from."""
    given = options.classes
    classes = count_classes(files) if given is None else given
    known = f"the largest number in the {len(files)} {which} masks" if given is None else "as given"
    return classes, f"{classes} classes (0 to {classes - 1}, {known}); {IGNORED} marks pixels without one"
