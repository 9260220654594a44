"""Edge maps of any origin: 8-bit PNG files, 255 = edge, named like the images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from densedistill.datasets.bsds import annotator_share, bsds_images, read_annotations
from densedistill.datasets.dense_edges import agree
from densedistill.datasets.pixels import by_stem, image_files, image_size, read_map, read_mask
from densedistill.datasets.roots import data_root
from densedistill.distill.boundaries import BoundaryOptions, BoundaryScores, benchmark_boundaries, thin
from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.metrics import Dice
from densedistill.tools.evaluate_files import require_all
from densedistill.tools.evaluate_output import document
from densedistill.tools.messages import Bar, bar, say

DATA = ("bsds500", "folder")


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeTruth:
    """Where one image's truth lies."""

    name: str
    annotation: Path
    """`.mat` or `.npz` of BSDS500, or a mask."""
    image: Path
    """A file of the image's size; of a folder of masks the mask itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """One image, ready to be scored."""

    prediction: np.ndarray
    """(H, W) uint8, 255 = edge."""
    annotations: np.ndarray
    """(n, H, W), not zero on a boundary."""
    consensus: np.ndarray
    """(H, W) uint8, 255 where the majority of annotators drew a boundary."""


def score_edges(options: argparse.Namespace) -> dict[str, Any]:
    """ODS, OIS, AP and Dice of the maps in a folder.

    Dice is that of the maps as they are, at 0.5, with the majority of the annotators.

    Raises:
        RequestError: a prediction is missing or of another size, or an option belongs to another task.
        DataError: an annotation or a prediction is missing or unreadable.
    """
    if options.scale is not None:
        raise RequestError("--scale is for --task sr: leave it out beside edges.")
    name = options.data or "bsds500"
    truths = find_truths(name, options)
    files = require_all(Path(options.predictions), [truth.name for truth in truths])
    for truth, file in zip(truths, files, strict=True):
        _same_size(file, image_size(file), truth.image, image_size(truth.image))
    chosen = BoundaryOptions(nms=bool(options.nms), thinned=options.thin)
    said = ["suppressed to crests" if chosen.nms else "as they are", *([] if chosen.thinned else ["not thinned"])]
    say(f"{len(truths)} maps, {', '.join(said)}, against {options.split if name == 'bsds500' else 'masks'} of {name}")
    with bar("matching", len(truths)) as progress:
        scores, dice = _scored(truths, files, chosen, progress)
    figures = [
        {"f": image.f, "threshold": image.threshold, **row}
        for image, row in zip(scores.images, dice.per_image(), strict=True)
    ]
    metrics = {**scores.metrics(), "dice": dice.compute()["dice"]}
    by_name = {truth.name: row for truth, row in zip(truths, figures, strict=True)}
    return document("edges", name, len(truths), metrics, by_name) | {"curve": scores.curve()}


def find_truths(name: str, options: argparse.Namespace) -> list[EdgeTruth]:
    """The annotated images of BSDS500's part, or the masks of a folder.

    Raises:
        RequestError: no such data set; `folder` without a place.
        DataError: the data is not where it should be.
    """
    if name not in DATA:
        raise RequestError(unknown_name("data of --predictions for edges", name, DATA))
    if name == "folder" and options.split == "val":
        raise RequestError("--split val: a folder of masks has no parts and is scored whole: leave --split out.")
    root = data_root(None if options.data_root is None else Path(options.data_root), name)
    if name == "bsds500":
        found = bsds_images(root, options.split)
        return [EdgeTruth(name=one.name, annotation=one.annotation, image=one.image) for one in found]
    masks = by_stem(image_files(root))
    if not masks:
        raise RequestError(f"no masks in '{root}': give --data-root DIR with one image for each prediction.")
    return [EdgeTruth(name=stem, annotation=path, image=path) for stem, path in masks.items()]


def _scored(
    truths: Sequence[EdgeTruth], files: Sequence[Path], options: BoundaryOptions, progress: Bar
) -> tuple[BoundaryScores, Dice]:
    """The benchmark of all images, and their Dice in the same order."""
    counted: list[tuple[np.ndarray, np.ndarray] | None] = [None] * len(truths)

    def case(place: int) -> tuple[np.ndarray, np.ndarray]:
        loaded = load(truths[place], files[place])
        if not loaded.annotations.any():
            say(f"{truths[place].name}: no annotator drew a boundary, so that every predicted pixel counts as false")
        counted[place] = (np.packbits(loaded.prediction >= 128), np.packbits(loaded.consensus >= 128))
        return loaded.prediction, loaded.annotations

    scores = benchmark_boundaries(
        [partial(case, place) for place in range(len(truths))], options, progress=progress.step
    )
    dice = Dice()
    for pair in counted:
        prediction, target = (torch.from_numpy(np.unpackbits(bits))[None, None].float() for bits in pair or ())
        dice.update(prediction, {"target": target})
    return scores, dice


def load(truth: EdgeTruth, file: Path) -> Loaded:
    """One image's map and truth.

    Raises:
        DataError: a file is unreadable.
        RequestError: the map is of another size than its truth.
    """
    if truth.annotation == truth.image:
        mask = read_mask(truth.annotation)
        annotations, consensus = thin(mask >= 128)[None], mask
    else:
        annotations = read_annotations(truth.annotation).boundaries
        consensus = agree(annotator_share(annotations), "majority")
    prediction = read_map(file)
    _same_size(file, prediction.shape, truth.annotation, annotations.shape[1:])
    return Loaded(prediction=prediction, annotations=annotations, consensus=consensus)


def _same_size(file: Path, found: tuple[int, ...], truth: Path, expected: tuple[int, ...]) -> None:
    if found != expected:
        raise RequestError(
            f"prediction '{file}' has {found[1]}x{found[0]} pixels and '{truth}' {expected[1]}x{expected[0]}: give "
            "maps of the size of their images."
        )
