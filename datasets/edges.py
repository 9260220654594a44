"""Edge data: photographs or collages with boundary maps, as random training views and whole evaluation images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn.functional import adaptive_max_pool2d

from densedistill.datasets.base import DataError, TaskData
from densedistill.datasets.bicubic import imresize_8bit
from densedistill.datasets.bsds import Split, annotator_share, bsds_images, read_annotations
from densedistill.datasets.collage import label_boundaries, make_collages
from densedistill.datasets.dense import IMAGENET_MEAN, IMAGENET_STD, DenseEval, DenseTrain
from densedistill.datasets.holdout import fingerprint
from densedistill.datasets.pairs import Pair, find_pairs
from densedistill.datasets.pixels import file_digest, read_mask, read_rgb, to_planes

Consensus = Literal["majority", "any", "soft"]
"""What several annotators make together: a boundary where at least half of them drew one at this very pixel; where
anyone did; or the share of them who did."""

_PARTS: tuple[Split, ...] = ("train", "val", "test")


class EdgeData(BaseModel):
    """Which images, which views of them, and what counts as a boundary in training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["collage", "bsds500", "pairs"] = "collage"
    """`collage`: embedded. `bsds500`, `pairs` (folders of images and masks): below `root`."""
    root: Path | None = None
    size: int = Field(default=256, ge=16)
    """Side of a training view in pixels; collages are seen whole where they are smaller."""
    view: Literal["crop", "resize"] = "crop"
    """`crop`: a random square. `resize`: the whole image at size x size, antialiased, each cell of its mask taking
    the largest value it covers, so that thin boundaries survive."""
    consensus: Consensus = "majority"
    """The truth of training views. Evaluation always asks the majority."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """One image with the share of its annotators at each pixel."""

    name: str
    image: np.ndarray
    """(H, W, 3) uint8."""
    share: np.ndarray
    """(H, W) uint8, 255 = every annotator."""
    digest: bytes


def load_edges(options: EdgeData) -> TaskData:
    """Batches: `input` (B, 3, H, W) with ImageNet's normalisation, `target` (B, 1, H, W) in [0, 1].

    Evaluation images are whole, ordered by shape and then by name, in batches of one shape.

    Raises:
        DataError: data are missing or unreadable, a mask does not fit its image, or no image fills a training view.
    """
    if options.name == "collage":
        parts, notes = _collages(options)
    elif options.name == "bsds500":
        parts, notes = _bsds(options)
    else:
        parts, notes = _pairs(options)
    train, left_out = _train_set(parts["train"], options)
    entries = {part: [(item.name, item.digest) for item in items] for part, items in parts.items()}
    return TaskData(
        name=options.name,
        embedded=options.name == "collage",
        train=train,
        val=_evaluation(parts["val"]),
        tests={options.name: _evaluation(parts["test"])},
        fingerprint=fingerprint(entries),
        notes=(*notes, *left_out),
        input_mean=IMAGENET_MEAN,
        input_std=IMAGENET_STD,
    )


def agree(share: np.ndarray, consensus: Consensus) -> np.ndarray:
    """(H, W) uint8 share of annotators (255 = all) to the target (H, W) uint8: 0 or 255, or the share itself."""
    if consensus == "soft":
        return share
    chosen = share >= 128 if consensus == "majority" else share > 0
    return chosen.astype(np.uint8) * np.uint8(255)


def _train_set(items: Sequence[_Item], options: EdgeData) -> tuple[DenseTrain, tuple[str, ...]]:
    side = min(options.size, options.collage_size) if options.name == "collage" else options.size
    fitting = [item for item in items if options.view == "resize" or min(item.share.shape) >= side]
    if not fitting:
        raise DataError(
            f"none of the {len(items)} training images is as large as a view of {side}: "
            "give a smaller size, or view=resize"
        )
    images = [item.image for item in fitting]
    targets = [agree(item.share, options.consensus) for item in fitting]
    if options.view == "resize":
        images = [imresize_8bit(image, (side, side)) for image in images]
        targets = [_largest_in_cells(target, side) for target in targets]
    missing = len(items) - len(fitting)
    train = DenseTrain(
        inputs=[to_planes(image) for image in images],
        targets=[to_planes(target) for target in targets],
        crop=side,
        symmetry="flip" if options.flip else "none",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )
    return train, (f"{missing} training images smaller than a view of {side} left out",) if missing else ()


def _largest_in_cells(target: np.ndarray, side: int) -> np.ndarray:
    pooled = adaptive_max_pool2d(torch.from_numpy(target).to(torch.float32)[None], side)
    return pooled[0].to(torch.uint8).numpy()


def _evaluation(items: Sequence[_Item]) -> DenseEval:
    ordered = sorted(items, key=lambda item: (item.share.shape, item.name))
    return DenseEval(
        ids=[item.name for item in ordered],
        inputs=[to_planes(item.image) for item in ordered],
        targets=[to_planes(agree(item.share, "majority")) for item in ordered],
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def _collages(options: EdgeData) -> tuple[dict[str, list[_Item]], tuple[str, ...]]:
    parts: dict[str, list[_Item]] = {}
    notes = ["collages of photographs from scikit-image and scikit-learn; boundaries exact, two pixels thick"]
    for part, count in zip(_PARTS, options.collages, strict=True):
        made = make_collages(part, min(count, options.limit or count), options.collage_size, options.split_seed)
        shares = label_boundaries(made.labels).astype(np.uint8) * np.uint8(255)
        parts[part] = [
            _Item(name=f"{part}-{place:04d}", image=image, share=share, digest=image.tobytes() + share.tobytes())
            for place, (image, share) in enumerate(zip(made.images, shares, strict=True))
        ]
        notes.append(f"{part} textures: {', '.join(made.photographs)}")
    return parts, tuple(notes)


def _bsds(options: EdgeData) -> tuple[dict[str, list[_Item]], tuple[str, ...]]:
    root = _root(options)
    parts: dict[str, list[_Item]] = {part: list(_read_bsds(root, part, options.limit)) for part in _PARTS}
    rules = {
        "majority": "at least half of the annotators at the very pixel",
        "any": "any annotator",
        "soft": "the share of annotators",
    }
    return parts, (
        f"training truth: {rules[options.consensus]}; evaluation truth: {rules['majority']}",
        *_limited(options),
    )


def _read_bsds(root: Path, part: Split, limit: int | None) -> Iterator[_Item]:
    for found in bsds_images(root, part)[:limit]:
        share = annotator_share(read_annotations(found.annotation).boundaries)
        yield _item(found.name, found.image, found.annotation, share)


def _pairs(options: EdgeData) -> tuple[dict[str, list[_Item]], tuple[str, ...]]:
    split = find_pairs(_root(options), held_out=options.val_size, split_seed=options.split_seed)
    chosen: dict[str, list[Pair]] = {"train": split.train, "val": split.val, "test": split.test}
    parts = {
        part: [_item(pair.name, pair.source, pair.target, read_mask(pair.target)) for pair in pairs[: options.limit]]
        for part, pairs in chosen.items()
    }
    return parts, (
        f"masks: a grey level is the share of annotators, boundary from 128 on ({options.consensus} in training)",
        *split.notes,
        *_limited(options),
    )


def _item(name: str, image: Path, annotation: Path, share: np.ndarray) -> _Item:
    pixels = read_rgb(image)
    if pixels.shape[:2] != share.shape:
        raise DataError(
            f"{annotation} is {share.shape[1]}x{share.shape[0]} and its image {image} is "
            f"{pixels.shape[1]}x{pixels.shape[0]}: give a mask of the image's size"
        )
    return _Item(name=name, image=pixels, share=share, digest=file_digest(image) + file_digest(annotation))


def _root(options: EdgeData) -> Path:
    if options.root is None:
        raise DataError(f"data '{options.name}' needs a root: give --data-root or set DENSEDISTILL_DATA")
    if not options.root.is_dir():
        raise DataError(f"the data root {options.root} is not a folder: give the folder that holds the data")
    return options.root


def _limited(options: EdgeData) -> tuple[str, ...]:
    return () if options.limit is None else (f"limited to {options.limit} images a part",)
