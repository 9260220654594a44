"""Segmentation data: collages or folders of images with the class of each pixel, as random views and whole images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from densedistill.datasets.base import EvalSet, TaskData
from densedistill.datasets.collage import MATERIALS, make_collages
from densedistill.datasets.collage_shapes import SHAPES
from densedistill.datasets.dense import IMAGENET_MEAN, IMAGENET_STD
from densedistill.datasets.dense_classes import IGNORED, MOST_CLASSES, ClassFiles, class_pair, count_classes
from densedistill.datasets.dense_files import AnnotatedFile, annotated_file, filling_a_view, in_order_of_shape
from densedistill.datasets.dense_pairs import HeldPairs, Pairs, held_where_they_fit
from densedistill.datasets.dense_workers import dense_eval, dense_train
from densedistill.datasets.holdout import fingerprint
from densedistill.datasets.pairs import find_pairs
from densedistill.datasets.photos import Role
from densedistill.datasets.roots import data_root

_PARTS: tuple[Role, ...] = ("train", "val", "test")


class SegmentationData(BaseModel):
    """Which images, and which views of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["collage", "pairs"] = "collage"
    """`collage`: embedded. `pairs`: folders of images and masks below `root`."""
    root: Path | None = None
    classes: int | None = Field(default=None, ge=2, le=MOST_CLASSES)
    """`pairs`: how many there are. None: as many as the training masks name, which are all read for that."""
    size: int = Field(default=256, ge=16)
    """Side of a training view in pixels; collages are seen whole where they are smaller."""
    view: Literal["crop", "resize"] = "crop"
    """`crop`: a random square. `resize`: the whole image at size x size, its mask by nearest neighbours."""
    flip: bool = True
    """Random left-right flips of training views."""
    val_size: int | None = Field(default=None, ge=1)
    """`pairs` without a val or test folder: how many pairs are held out for each. None: a fifth."""
    split_seed: int = 0
    """Seed of what is held out of pairs, and of the collages."""
    limit: int | None = Field(default=None, ge=1)
    """At most this many images in each part."""
    collage_labels: Literal["material", "shape"] = "material"
    """What a collage's pixel is labelled by: the photograph that its texture is cut from, or the shape of its piece, of
    textures that training has never seen; that takes many more images to learn."""
    collage_size: int = Field(default=128, ge=32)
    """Side of a collage in pixels."""
    collages: tuple[int, int, int] = (400, 50, 50)
    """How many collages for train, val and test."""
    workers: int = Field(default=2, ge=0)
    """Processes that read images where a folder's exceed the memory budget; 0: none, the training process itself."""
    memory_budget_mb: int = Field(default=2048, ge=0)
    """The images and masks of folders are held as uint8 pixels up to this size (MiB, all parts together); above it
    they are read from disk whenever they are seen. The pixels are the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Split:
    """All that a task's data is made of, by part."""

    pairs: Mapping[str, Pairs]
    ids: Mapping[str, Sequence[str]]
    entries: Mapping[str, Sequence[tuple[str, bytes]]]
    """Names and digests for the fingerprint."""
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def load_segmentation(options: SegmentationData) -> TaskData:
    """Batches: `input` (B, 3, H, W) with ImageNet's normalisation, `target` (B, H, W) int64, 255 where there is none.

    Evaluation images are whole, ordered by shape and then by name, in batches of one shape.

    Raises:
        DataError: data are missing or unreadable, a mask does not fit its image or holds numbers that are no classes,
            all masks are of one class, or no image fills a training view.
    """
    split = _collages(options) if options.name == "collage" else _on_disk(options)
    return TaskData(
        name=options.name,
        embedded=options.name == "collage",
        train=dense_train(
            split.pairs["train"],
            crop=_side(options),
            symmetry="flip" if options.flip else "none",
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            workers=options.workers,
            target_kind="classes",
        ),
        val=_evaluation(split, "val", options),
        tests={options.name: _evaluation(split, "test", options)},
        fingerprint=fingerprint(split.entries),
        notes=split.notes,
        classes=split.classes,
        input_mean=IMAGENET_MEAN,
        input_std=IMAGENET_STD,
    )


def _evaluation(split: _Split, part: Role, options: SegmentationData) -> EvalSet:
    return dense_eval(
        split.ids[part],
        split.pairs[part],
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        workers=options.workers,
        target_kind="classes",
    )


def _side(options: SegmentationData) -> int:
    return min(options.size, options.collage_size) if options.name == "collage" else options.size


def _resized(part: Role, options: SegmentationData) -> int | None:
    """The side that the pairs of `part` are resized to."""
    return _side(options) if part == "train" and options.view == "resize" else None


def _collages(options: SegmentationData) -> _Split:
    pairs: dict[str, Pairs] = {}
    entries: dict[str, list[tuple[str, bytes]]] = {}
    materials = options.collage_labels == "material"
    classes = MATERIALS if materials else ("background", *SHAPES)
    notes = [
        f"collages of photographs from scikit-image and scikit-learn; {len(classes)} classes: {', '.join(classes)}"
    ]
    if materials:
        notes.append("each photograph is divided: 60 % of its width for train, 20 % each for val and test")
    for part, count in zip(_PARTS, options.collages, strict=True):
        number = min(count, options.limit or count)
        made = make_collages(part, number, options.collage_size, options.split_seed, materials=materials)
        labelled = list(zip(made.images, made.textures if materials else made.shapes, strict=True))
        planes = [class_pair(image, labels, _resized(part, options)) for image, labels in labelled]
        pairs[part] = HeldPairs(inputs=[image for image, _ in planes], targets=[labels for _, labels in planes])
        entries[part] = [
            (f"{part}-{place:04d}", image.tobytes() + labels.tobytes())
            for place, (image, labels) in enumerate(labelled)
        ]
        if not materials:
            notes.append(f"{part} textures: {', '.join(made.photographs)}")
    ids = {part: [name for name, _ in items] for part, items in entries.items()}
    return _Split(pairs=pairs, ids=ids, entries=entries, classes=classes, notes=tuple(notes))


def _on_disk(options: SegmentationData) -> _Split:
    found, notes = _files(options)
    classes, counted = _classes(found["train"], options)
    resized = options.view == "resize"
    fitting, left_out = (found["train"], ()) if resized else filling_a_view(found["train"], options.size)
    chosen = {"train": fitting, **{part: in_order_of_shape(found[part]) for part in ("val", "test")}}
    files: dict[str, ClassFiles] = {
        part: ClassFiles(files=tuple(chosen[part]), classes=classes, side=_resized(part, options)) for part in _PARTS
    }
    pairs, where = held_where_they_fit(files, options.memory_budget_mb)
    return _Split(
        pairs=pairs,
        ids={part: [file.name for file in items] for part, items in chosen.items()},
        entries={part: [(file.name, file.digest()) for file in items] for part, items in found.items()},
        classes=tuple(str(number) for number in range(classes)),
        notes=(counted, *notes, *left_out, *where),
    )


def _files(options: SegmentationData) -> tuple[dict[str, list[AnnotatedFile]], tuple[str, ...]]:
    split = find_pairs(data_root(options.root, options.name), held_out=options.val_size, split_seed=options.split_seed)
    parts = {
        part: [annotated_file(pair.name, pair.source, pair.target) for pair in pairs[: options.limit]]
        for part, pairs in (("train", split.train), ("val", split.val), ("test", split.test))
    }
    limited = () if options.limit is None else (f"limited to {options.limit} images a part",)
    return parts, (*split.notes, *limited)


def _classes(files: Sequence[AnnotatedFile], options: SegmentationData) -> tuple[int, str]:
    """How many classes there are, and where that is known from."""
    given = options.classes
    classes = count_classes(files) if given is None else given
    known = f"the largest number in the {len(files)} training masks" if given is None else "as given"
    return classes, f"{classes} classes (0 to {classes - 1}, {known}); {IGNORED} marks pixels without one"
