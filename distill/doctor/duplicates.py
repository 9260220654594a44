"""Images that are in training and in an evaluation set too: found by a perceptual hash, and then compared.

A difference hash has a bit for each pair of neighbours in a 9x8 thumbnail: which is brighter (Krawetz, "Kind of Like
That", 2013). It does not see size, compression or brightness; so pairs with nearly equal hashes are compared in colour
at 16x16. A crop or a mirror image of another image is not found. The bounds are set by eye on CIFAR-10, where they
find about one in a hundred of the test images in training.

Shapes: N images, C channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from densedistill.distill.data import EvalSet, TaskData
from densedistill.distill.doctor.finding import Finding, Status
from densedistill.distill.doctor.limits import Limits

SIDE = 16
"""Of the thumbnails that are compared in colour."""
NEAR_BITS = 8
"""Most bits of 64 in which the hashes of two duplicates differ."""
NEAR_CONTRAST = 0.2
"""Largest mean difference of two duplicates' thumbnails over the deviation of one of them."""
NEAR_DETAIL = 0.5
"""The same over what a thumbnail shows beyond a blurred one: two clear skies are no duplicates."""
FLAT_LEVELS = 1.0
"""Levels of 255 of such detail below which an image shows nothing: all of one colour are alike."""
NEGLIGIBLE = 0.002
"""Share of an evaluation set that may be in training without a warning."""
TOLERATED = 0.02
"""Share of an evaluation set that may be in training with no more than a warning: public sets hold some."""
BATCH = 256
MOST_VALUES = 1_000_000
"""Of the images that are looked at together."""


@runtime_checkable
class ShowsImages(Protocol):
    """A training set that gives its images as they are."""

    def plain(self, place: int) -> Tensor:
        """Image `place`, before any augmentation: (C, H, W) uint8."""


@dataclass(frozen=True, slots=True)
class Prints:
    """What images are recognised by."""

    hashes: np.ndarray
    """(N,) uint64."""
    thumbnails: np.ndarray
    """(N, C * 256) uint8."""

    def __len__(self) -> int:
        return len(self.hashes)


def prints(images: Iterable[Tensor]) -> Prints:
    """The prints of images (C, H, W) in [0, 1], of any sizes."""
    hashes, thumbnails = [np.zeros(0, np.uint64)], []
    for alike in _together(images):
        hashes.append(difference_hashes(alike))
        small = interpolate(alike, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        thumbnails.append((small.flatten(1) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy())
    return Prints(np.concatenate(hashes), np.concatenate(thumbnails) if thumbnails else np.zeros((0, 1), np.uint8))


def _together(images: Iterable[Tensor]) -> Iterator[Tensor]:
    """`images` (N, C, H, W), as many of one shape as come one after another and are small: a call costs more than they.

    Above all on a busy machine, where its threads wait for each other.
    """
    held: list[Tensor] = []
    for image in images:
        if held and (image.shape != held[0].shape or (len(held) + 1) * image.numel() > MOST_VALUES):
            yield torch.stack(held)
            held = []
        held.append(image)
    if held:
        yield torch.stack(held)


def difference_hashes(images: Tensor) -> np.ndarray:
    """(N,) uint64 of images (N, C, H, W): whether each cell of a 9x8 thumbnail is darker than the one to its right."""
    grey = interpolate(images.mean(dim=1, keepdim=True), size=(8, 9), mode="bilinear", antialias=True)[:, 0]
    bits = (grey[:, :, 1:] > grey[:, :, :-1]).flatten(1).cpu().numpy()
    found: np.ndarray = np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)
    return found


def duplicates(known: Prints, others: Prints) -> list[tuple[int, int]]:
    """(place in `known`, place in `others`) for each of `others` that `known` holds; its first find alone."""
    found = []
    shown = detail(others.thumbnails)
    bounds = np.minimum(NEAR_DETAIL * shown, NEAR_CONTRAST * others.thumbnails.std(axis=1))
    for place in np.flatnonzero(shown >= FLAT_LEVELS):
        near = np.flatnonzero(np.bitwise_count(known.hashes ^ others.hashes[place]) <= NEAR_BITS)
        if len(near):
            levels = np.abs(known.thumbnails[near].astype(np.int16) - others.thumbnails[place].astype(np.int16))
            alike = near[levels.mean(axis=1) <= bounds[place]]
            found += [(int(alike[0]), int(place))] if len(alike) else []
    return found


def detail(thumbnails: np.ndarray) -> np.ndarray:
    """(N,) deviation in levels of what thumbnails (N, C * 256) uint8 show beyond their blurred selves."""
    sharp = torch.from_numpy(thumbnails).float().view(len(thumbnails), -1, SIDE, SIDE)
    blurred = interpolate(avg_pool2d(sharp, SIDE // 4), size=(SIDE, SIDE), mode="bilinear")
    found: np.ndarray = (sharp - blurred).flatten(1).std(dim=1).numpy()
    return found


def check_duplicates(data: TaskData, limits: Limits) -> list[Finding]:
    """A finding for validation and for each test set."""
    train = data.train
    parts: Mapping[str, EvalSet] = {"validation": data.val, **{f"test set {key}": of for key, of in data.tests.items()}}
    if not isinstance(train, ShowsImages):
        text = "the training set shows augmented views alone (it has no method `plain`)"
        return [Finding(check="duplicates", subject=data.name, status="skip", text=text)]
    places = _spread(len(train))
    # Half of the time for training, which is the largest part, and the rest shared out.
    known = prints(train.plain(place).float() / 255 for place in limits.within(places, 0.5))
    seen = f"{len(known):,} of {len(train):,} training images"
    found = []
    for turn, (name, images) in enumerate(parts.items()):
        share = 1 / (len(parts) - turn)
        others = prints(itertools.chain.from_iterable(limits.within(_pictures(images, data), share)))
        pairs = [(places[first], second) for first, second in duplicates(known, others)] if len(others) else []
        found.append(_finding(name, pairs, others, images.ids, seen))
    return found


def _finding(name: str, pairs: Sequence[tuple[int, int]], others: Prints, ids: Sequence[str], seen: str) -> Finding:
    figures = {"images": len(others), "duplicates": len(pairs), "pairs": [[a, ids[b]] for a, b in pairs[:20]]}
    looked = f"{len(others):,} of {len(ids):,} images compared with {seen}"
    if not pairs:
        return Finding(check="duplicates", subject=name, status="pass", text=f"none; {looked}", figures=figures)
    share = len(pairs) / len(others)
    status: Status = "fail" if share > TOLERATED else "warn" if share > NEGLIGIBLE else "pass"
    examples = ", ".join(f"'{ids[second]}' is training image {first}" for first, second in pairs[:3])
    return Finding(
        check="duplicates",
        subject=name,
        status=status,
        text=f"{len(pairs)} images ({share:.1%}) are in training too: {examples}; {looked}",
        remedy=""
        if status == "pass"
        else "take them out of training or out of this set: what a network says of an image that it has learned is no "
        "measure of it",
        figures=figures,
    )


def _spread(count: int) -> list[int]:
    """All places in an order whose every beginning is spread over the set: sets are often sorted by class."""
    places: list[int] = np.random.default_rng(0).permutation(count).tolist()
    return places


def _pictures(images: EvalSet, data: TaskData) -> Iterator[Iterator[Tensor]]:
    """Batch by batch, each image (C, H, W) in [0, 1] with the normalisation of its input undone."""
    for batch in images.batches(BATCH, device=torch.device("cpu")):
        pixels = batch["input"]
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.input_mean, data.input_std))
        yield iter((pixels * std + mean).clamp(0, 1))
