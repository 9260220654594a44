"""Edge data: photographs or collages with boundary maps, as random training views and whole evaluation images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from densedistill.datasets.base import DataError, EvalSet, TaskData
from densedistill.datasets.bsds import Split, bsds_images, read_annotations
from densedistill.datasets.collage import label_boundaries, make_collages
from densedistill.datasets.dense import IMAGENET_MEAN, IMAGENET_STD
from densedistill.datasets.dense_edges import Consensus, EdgeFiles, agree, edge_pair
from densedistill.datasets.dense_files import AnnotatedFile, annotated_file, filling_a_view, in_order_of_shape
from densedistill.datasets.dense_grid import grid_notes
from densedistill.datasets.dense_pairs import HeldPairs, Pairs, held_where_they_fit
from densedistill.datasets.dense_workers import dense_eval, dense_train
from densedistill.datasets.holdout import fingerprint
from densedistill.datasets.pairs import Pair, find_pairs
from densedistill.datasets.roots import data_root

__all__ = ["Consensus", "EdgeData", "agree", "bsds_annotations", "load_edges"]

_PARTS: tuple[Split, ...] = ("train", "val", "test")


class EdgeData(BaseModel):
    """Which images, which views of them, and what counts as a boundary in training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["collage", "bsds500", "pairs"] = "collage"
    """`collage`: embedded. `bsds500`, `pairs` (folders of images and masks): below `root`."""
    root: Path | None = None
    size: int = Field(default=256, ge=16)
    """Side of a training view in pixels; collages are seen whole where they are smaller."""
    view: Literal["crop", "resize", "grid"] = "crop"
    """`crop`: a random square. `grid`: the squares of a fixed grid over every image, each of which counts as a training
    image; with a teacher cache, the teacher then sees every pixel once for each view. `resize`: the whole image at
    size x size, antialiased, each cell of its mask taking the largest value it covers, so that thin boundaries
    survive."""
    consensus: Consensus = "majority"
    """The truth of training views. Evaluation always asks the majority."""
    benchmark: Literal["auto", "always", "never"] = "auto"
    """Whether finished arms get ODS, OIS and AP on the test images, one or two minutes for each arm on BSDS500. `auto`:
    on bsds500, against each annotator. `always`: on other data too, against the mask, thinned, as one annotator."""
    nms: bool = True
    """Suppress what is no crest of a map before the benchmark, as the field does."""
    flip: bool = True
    """Random left-right flips of training views."""
    val_size: int | None = Field(default=None, ge=1)
    """`pairs` without a val or test folder: how many pairs are held out for each. None: a fifth."""
    split_seed: int = 0
    """Seed of what is held out of pairs, and of the collages."""
    limit: int | None = Field(default=None, ge=1)
    """At most this many images in each part."""
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
    notes: tuple[str, ...]


def load_edges(options: EdgeData) -> TaskData:
    """Batches: `input` (B, 3, H, W) with ImageNet's normalisation, `target` (B, 1, H, W) in [0, 1].

    Evaluation images are whole, ordered by shape and then by name, in batches of one shape.

    Raises:
        DataError: data are missing or unreadable, a mask does not fit its image, or no image fills a training view.
    """
    split = _collages(options) if options.name == "collage" else _on_disk(options)
    train = dense_train(
        split.pairs["train"],
        crop=_side(options),
        symmetry="flip" if options.flip else "none",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        workers=options.workers,
        grid=options.view == "grid",
    )
    grid = grid_notes(len(train), _side(options)) if options.view == "grid" else ()
    return TaskData(
        name=options.name,
        embedded=options.name == "collage",
        train=train,
        val=_evaluation(split, "val", options),
        tests={options.name: _evaluation(split, "test", options)},
        fingerprint=fingerprint(split.entries),
        notes=(*split.notes, *grid),
        input_mean=IMAGENET_MEAN,
        input_std=IMAGENET_STD,
    )


def bsds_annotations(options: EdgeData, part: Split, names: Sequence[str]) -> Callable[[int], np.ndarray]:
    """Place of an image in `names` -> what each annotator of it drew, (n, H, W) uint8, 1 on a boundary.

    Raises:
        DataError: BSDS500 is not where `options` say, or lacks one of these images; the function: its file is damaged.
    """
    found = {image.name: image.annotation for image in bsds_images(data_root(options.root, "bsds500"), part)}
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"BSDS500 has no annotation of {missing[0]} in {part}: give names of its {part} images")
    files = [found[name] for name in names]
    return lambda place: read_annotations(files[place]).boundaries


def _evaluation(split: _Split, part: Split, options: EdgeData) -> EvalSet:
    return dense_eval(split.ids[part], split.pairs[part], mean=IMAGENET_MEAN, std=IMAGENET_STD, workers=options.workers)


def _side(options: EdgeData) -> int:
    return min(options.size, options.collage_size) if options.name == "collage" else options.size


def _collages(options: EdgeData) -> _Split:
    pairs: dict[str, Pairs] = {}
    entries: dict[str, list[tuple[str, bytes]]] = {}
    notes = ["collages of photographs from scikit-image and scikit-learn; boundaries exact, two pixels thick"]
    for part, count in zip(_PARTS, options.collages, strict=True):
        made = make_collages(part, min(count, options.limit or count), options.collage_size, options.split_seed)
        drawn = zip(made.images, label_boundaries(made.labels).astype(np.uint8) * np.uint8(255), strict=True)
        digests, planes = [], []
        for image, share in drawn:
            digests.append(image.tobytes() + share.tobytes())
            planes.append(edge_pair(image, share, *_truth(part, options)))
        pairs[part] = HeldPairs(inputs=[image for image, _ in planes], targets=[target for _, target in planes])
        entries[part] = [(f"{part}-{place:04d}", digest) for place, digest in enumerate(digests)]
        notes.append(f"{part} textures: {', '.join(made.photographs)}")
    ids = {part: [name for name, _ in items] for part, items in entries.items()}
    return _Split(pairs=pairs, ids=ids, entries=entries, notes=tuple(notes))


def _truth(part: Split, options: EdgeData) -> tuple[Consensus, int | None]:
    """What counts as a boundary in `part`, and the side its pairs are resized to."""
    if part != "train":
        return "majority", None
    return options.consensus, _side(options) if options.view == "resize" else None


def _on_disk(options: EdgeData) -> _Split:
    found, notes = _bsds(options) if options.name == "bsds500" else _pairs(options)
    resized = options.view == "resize"
    fitting, left_out = (found["train"], ()) if resized else filling_a_view(found["train"], options.size)
    chosen: dict[str, list[AnnotatedFile]] = {"train": fitting} | {
        part: in_order_of_shape(found[part]) for part in ("val", "test")
    }
    files: dict[str, EdgeFiles] = {}
    for part in _PARTS:
        consensus, side = _truth(part, options)
        files[part] = EdgeFiles(files=tuple(chosen[part]), consensus=consensus, side=side)
    pairs, where = held_where_they_fit(files, options.memory_budget_mb)
    return _Split(
        pairs=pairs,
        ids={part: [file.name for file in items] for part, items in chosen.items()},
        entries={part: [(file.name, file.digest()) for file in items] for part, items in found.items()},
        notes=(*notes, *left_out, *where),
    )


def _bsds(options: EdgeData) -> tuple[dict[str, list[AnnotatedFile]], tuple[str, ...]]:
    root = data_root(options.root, options.name)
    parts: dict[str, list[AnnotatedFile]] = {
        part: [
            annotated_file(found.name, found.image, found.annotation)
            for found in bsds_images(root, part)[: options.limit]
        ]
        for part in _PARTS
    }
    rules = {
        "majority": "at least half of the annotators at the very pixel",
        "any": "any annotator",
        "soft": "the share of annotators",
    }
    return parts, (
        f"training truth: {rules[options.consensus]}; evaluation truth: {rules['majority']}",
        *_limited(options),
    )


def _pairs(options: EdgeData) -> tuple[dict[str, list[AnnotatedFile]], tuple[str, ...]]:
    split = find_pairs(data_root(options.root, options.name), held_out=options.val_size, split_seed=options.split_seed)
    chosen: dict[str, list[Pair]] = {"train": split.train, "val": split.val, "test": split.test}
    parts = {
        part: [annotated_file(pair.name, pair.source, pair.target) for pair in pairs[: options.limit]]
        for part, pairs in chosen.items()
    }
    return parts, (
        f"masks: a grey level is the share of annotators, boundary from 128 on ({options.consensus} in training)",
        *split.notes,
        *_limited(options),
    )


def _limited(options: EdgeData) -> tuple[str, ...]:
    return () if options.limit is None else (f"limited to {options.limit} images a part",)
