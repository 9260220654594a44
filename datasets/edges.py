"""Edge data: photographs or collages with boundary maps, as random training views and whole evaluation images."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from densedistill.datasets.annotated import (
    PARTS,
    AnnotatedData,
    AnnotatedSplit,
    Found,
    limit_notes,
    paired_files,
    paired_tests,
    scored_alone,
    split_of_collages,
    split_on_disk,
    tests_on_disk,
)
from densedistill.datasets.base import DataError, TaskData
from densedistill.datasets.bsds import Split, bsds_images, read_annotations
from densedistill.datasets.collage import label_boundaries, make_collages
from densedistill.datasets.dense import IMAGENET_MEAN, IMAGENET_STD
from densedistill.datasets.dense_edges import Consensus, EdgeFiles, agree, edge_pair
from densedistill.datasets.dense_files import AnnotatedFile, annotated_file
from densedistill.datasets.dense_grid import grid_notes
from densedistill.datasets.dense_pairs import Planes
from densedistill.datasets.dense_workers import dense_train
from densedistill.datasets.holdout import fingerprint
from densedistill.datasets.roots import data_root

_RULES: Mapping[Consensus, str] = {
    "majority": "at least half of the annotators at the very pixel",
    "any": "any annotator",
    "soft": "the share of annotators",
}
_EVALUATION_TRUTH = f"evaluation truth: {_RULES['majority']}"
_MASKS = "masks: a grey level is the share of annotators, boundary from 128 on"

__all__ = ["Consensus", "EdgeData", "agree", "bsds_annotations", "load_edge_tests", "load_edges"]


class EdgeData(AnnotatedData):
    """Which images, which views of them, and what counts as a boundary in training."""

    name: Literal["collage", "bsds500", "pairs"] = "collage"
    """`collage`: embedded. `bsds500`, `pairs` (folders of images and masks): below `root`."""
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

    def truth(self, part: Split) -> Consensus:
        """What counts as a boundary in `part`."""
        return self.consensus if part == "train" else "majority"


def load_edges(options: EdgeData) -> TaskData:
    """Batches: `input` (B, 3, H, W) with ImageNet's normalisation, `target` (B, 1, H, W) in [0, 1].

    Evaluation images are whole, ordered by shape and then by name, in batches of one shape.

    Raises:
        DataError: data are missing or unreadable, a mask does not fit its image, or no image fills a training view.
    """
    split = _collages(options) if options.name == "collage" else _on_disk(options)
    train = dense_train(
        split.pairs["train"],
        crop=options.side,
        symmetry="flip" if options.flip else "none",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        workers=options.workers,
        grid=options.view == "grid",
    )
    grid = grid_notes(len(train), options.side) if options.view == "grid" else ()
    return TaskData(
        name=options.name,
        embedded=options.name == "collage",
        train=train,
        val=split.evaluation("val", options.workers, "shares"),
        tests={options.name: split.evaluation("test", options.workers, "shares")},
        fingerprint=fingerprint(split.entries),
        notes=(*split.notes, *grid),
        input_mean=IMAGENET_MEAN,
        input_std=IMAGENET_STD,
    )


def load_edge_tests(options: EdgeData) -> TaskData:
    """The test images alone, for an arm that was trained elsewhere: `pairs` without a test folder are taken whole.

    Raises:
        DataError: data are missing or unreadable, or a mask does not fit its image.
    """
    if options.name == "collage":
        return load_edges(options)
    if options.name == "bsds500":
        found = _bsds_part(options, "test")
        notes: tuple[str, ...] = (_EVALUATION_TRUTH,)
    else:
        found, which = paired_tests(options)
        notes = (_MASKS, *which)
    split = tests_on_disk(found, functools.partial(_edge_files, options), options)
    split = replace(split, notes=(*notes, *limit_notes(options), *split.notes))
    return scored_alone(options.name, split, options.workers, "shares")


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


def _collages(options: EdgeData) -> AnnotatedSplit:
    def make(part: Split, count: int) -> tuple[Sequence[str], Sequence[tuple[bytes, Planes]]]:
        made = make_collages(part, count, options.collage_size, options.split_seed)
        shares = label_boundaries(made.labels).astype(np.uint8) * np.uint8(255)
        return made.photographs, [
            (image.tobytes() + share.tobytes(), edge_pair(image, share, options.truth(part), options.resized(part)))
            for image, share in zip(made.images, shares, strict=True)
        ]

    split, photographs = split_of_collages(make, options)
    origin = "collages of photographs from scikit-image and scikit-learn; boundaries exact, two pixels thick"
    return replace(split, notes=(origin, *(f"{part} textures: {', '.join(photographs[part])}" for part in PARTS)))


def _on_disk(options: EdgeData) -> AnnotatedSplit:
    found, notes = _bsds(options) if options.name == "bsds500" else _pairs(options)
    split = split_on_disk(found, functools.partial(_edge_files, options), options)
    return replace(split, notes=(*notes, *limit_notes(options), *split.notes))


def _edge_files(options: EdgeData, part: Split, files: Sequence[AnnotatedFile]) -> EdgeFiles:
    return EdgeFiles(files=tuple(files), consensus=options.truth(part), side=options.resized(part))


def _bsds(options: EdgeData) -> tuple[Found, tuple[str, ...]]:
    parts: Found = {part: _bsds_part(options, part) for part in PARTS}
    return parts, (f"training truth: {_RULES[options.consensus]}; {_EVALUATION_TRUTH}",)


def _bsds_part(options: EdgeData, part: Split) -> list[AnnotatedFile]:
    found = bsds_images(data_root(options.root, options.name), part)[: options.limit]
    return [annotated_file(one.name, one.image, one.annotation) for one in found]


def _pairs(options: EdgeData) -> tuple[Found, tuple[str, ...]]:
    parts, notes = paired_files(options)
    return parts, (f"{_MASKS} ({options.consensus} in training)", *notes)
