"""Super-resolution data: high-resolution images, their degraded inputs, and aligned random patches of both."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field, model_validator

from densedistill.datasets.base import DataError, EvalSet, TaskData
from densedistill.datasets.bicubic import imresize_8bit
from densedistill.datasets.dense import untrained
from densedistill.datasets.dense_grid import grid_notes
from densedistill.datasets.dense_pairs import HeldPairs, Pairs, held_where_they_fit
from densedistill.datasets.dense_sr import SuperResolutionFiles, degraded_pair, high_size, super_resolution_files
from densedistill.datasets.dense_workers import dense_eval, dense_train
from densedistill.datasets.frozen import FROZEN
from densedistill.datasets.holdout import fingerprint, hold_out
from densedistill.datasets.photos import load_photo, super_resolution_photos
from densedistill.datasets.pixels import file_digest
from densedistill.datasets.roots import data_root
from densedistill.datasets.sr_degradation import Degradation
from densedistill.datasets.sr_sources import (
    HrImage,
    default_tests,
    default_training,
    find_images,
    set_label,
    with_low_resolution,
)

_VAL_IMAGES = 8
_LONGEST_PHOTO = 800
HELD_OUT = "held-out"
"""The test set of images that were held out of training."""
_TEST = "test "
"""How the names of test parts begin."""


class SuperResolutionData(BaseModel):
    """Which images, which scale, which degradation."""

    model_config = FROZEN

    name: Literal["photos", "folder"] = "photos"
    """`photos`: the embedded photographs. `folder`: folders of high-resolution images below `root`."""
    root: Path | None = None
    train: tuple[str, ...] = ()
    """Named sets (`t91`, `bsds500-train`, ...) or folders, absolute or relative to `root`. Empty: `root`/train, the
    root's own images, or T91 and BSDS500 train, whichever is there first."""
    val: int | None = Field(default=None, ge=1)
    """Whole training images held out for selection. None: 8, or a fifth of the images where that is fewer."""
    tests: tuple[str, ...] = ()
    """Named sets or folders. Empty: `root`/test; as many images of the root as are in val, held out as well; or
    Set5 and B100."""
    scale: int = Field(default=4, ge=2, le=8)
    hr_patch: int = Field(default=160, ge=8)
    """Side of a training patch in the high-resolution image, a multiple of `scale`."""
    view: Literal["crop", "grid"] = "crop"
    """`crop`: a random patch. `grid`: the patches of a fixed grid over every image, each of which counts as a training
    image; with a teacher cache, the teacher then sees every pixel once for each view."""
    degradation: Degradation = Degradation()
    augment: bool = True
    """Random flips and quarter turns of training patches."""
    split_seed: int = 0
    limit: int | None = Field(default=None, ge=1)
    """At most this many images in train, in val and in each test set."""
    workers: int = Field(default=2, ge=0)
    """Processes that read images where a folder's exceed the memory budget; 0: none, the training process itself."""
    memory_budget_mb: int = Field(default=2048, ge=0)
    """The images of folders, degraded and not, are held as uint8 pixels up to this size (MiB, all parts together);
    above it they are read from disk whenever they are seen. The pixels are the same."""

    @model_validator(mode="after")
    def _check(self) -> SuperResolutionData:
        if self.hr_patch % self.scale:
            below = self.hr_patch // self.scale * self.scale
            raise ValueError(
                f"hr_patch {self.hr_patch} is not a multiple of scale {self.scale}: "
                f"give {below} or {below + self.scale}"
            )
        if self.name == "photos" and (self.root or self.train or self.tests or self.val):
            raise ValueError("the embedded photos have a fixed split: give root, train, val, tests to name='folder'")
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """The images of one part of a split, degraded."""

    names: Sequence[str]
    pairs: Pairs
    digests: Sequence[bytes]

    def evaluation(self, options: SuperResolutionData) -> EvalSet:
        return dense_eval(self.names, self.pairs, max_batch=1, workers=options.workers)

    def entries(self) -> list[tuple[str, bytes]]:
        return list(zip(self.names, self.digests, strict=True))


def load_super_resolution(options: SuperResolutionData) -> TaskData:
    """Batches: `input` (B, 3, h, w) and `target` (B, 3, scale x h, scale x w), both in [0, 1].

    Patches are cut from whole degraded images, so a patch's border is what it would be inside a test image. Images
    are degraded once and kept as bytes where they fit `memory_budget_mb`. Evaluation is one whole image at a time.

    Raises:
        DataError: images are missing, unreadable, too small for a patch, or in both training and test.
    """
    return _load_photos(options) if options.name == "photos" else _load_folders(options)


def super_resolution_tests(options: SuperResolutionData) -> Mapping[str, EvalSet]:
    """The test sets alone, by name, without training data; a root that holds images itself is one set.

    Raises:
        DataError: as `load_super_resolution`.
    """
    return load_super_resolution_tests(options).tests


def load_super_resolution_tests(options: SuperResolutionData) -> TaskData:
    """`super_resolution_tests`, in place of validation as well, and what a reader of their figures must know.

    Raises:
        DataError: as `load_super_resolution`.
    """
    described = f"degradation: {options.degradation.describe(options.scale)}"
    if options.name == "photos":
        return untrained("photos", {"photos": _photo_part("test", options).evaluation(options)}, (described,))
    root = data_root(options.root, "folder")
    found = _find_tests(root, options.tests or default_tests(root) or (".",), options)
    files = {label: _files(images, options) for label, images in found.items()}
    pairs, where = held_where_they_fit(files, options.memory_budget_mb)
    tests = {label: _part(files[label], pairs[label]).evaluation(options) for label in found}
    notes = (described, _published_note(found), *_cropped_notes(files.values(), options.scale), *where)
    return untrained("folder", tests, notes)


def _load_photos(options: SuperResolutionData) -> TaskData:
    train, val, test = (_photo_part(role, options) for role in ("train", "val", "test"))
    notes = (
        f"photographs of scikit-image and scikit-learn: train on {', '.join(train.names)}; "
        f"val {', '.join(val.names)}; test {', '.join(test.names)}",
        f"photographs longer than {_LONGEST_PHOTO} pixels are reduced by a whole factor first",
    )
    return _task_data("photos", {"train": train, "val": val, f"{_TEST}photos": test}, notes, options)


def _photo_part(role: Literal["train", "val", "test"], options: SuperResolutionData) -> _Part:
    names = super_resolution_photos(role)[: options.limit]
    pairs = [degraded_pair(_reduced(load_photo(name)), options.scale, options.degradation) for name in names]
    return _Part(
        names=names,
        pairs=HeldPairs(inputs=[low for low, _ in pairs], targets=[high for _, high in pairs]),
        digests=[high.tobytes() for _, high in pairs],
    )


def _reduced(pixels: np.ndarray) -> np.ndarray:
    factor = -(-max(pixels.shape[:2]) // _LONGEST_PHOTO)
    if factor == 1:
        return pixels
    return imresize_8bit(pixels, (pixels.shape[0] // factor, pixels.shape[1] // factor))


def _load_folders(options: SuperResolutionData) -> TaskData:
    root = data_root(options.root, "folder")
    sources = options.train or default_training(root)
    found = [image for name in sources for image in _prefixed(root, name, len(sources) > 1)]
    large = [image for image in found if min(high_size(image)) >= options.hr_patch]
    if not large:
        raise DataError(
            f"none of the {len(found)} training images is as large as a patch of {options.hr_patch}: "
            "give a smaller hr_patch or larger images"
        )
    count = options.val or min(_VAL_IMAGES, max(1, len(large) // 5))
    kept, val = hold_out(large, count, options.split_seed, stream="val")
    names = options.tests or default_tests(root)
    notes = [f"train: {', '.join(set_label(root, name) for name in sources)}; {count} whole images held out for val"]
    if names:
        tests = _find_tests(root, names, options)
    else:
        kept, held = hold_out(kept, count, options.split_seed, stream="test")
        tests = {HELD_OUT: held}
        notes.append(f"no test folder: {count} more images held out of train for test")
    if len(large) < len(found):
        notes.append(f"{len(found) - len(large)} images smaller than a patch of {options.hr_patch} left out")
    notes.append(_published_note(tests))
    chosen = {"train": kept, "val": val, **{f"{_TEST}{label}": images for label, images in tests.items()}}
    files = {part: _files(images, options) for part, images in chosen.items()}
    notes += _cropped_notes(files.values(), options.scale)
    listed = {part: _part(pairs, pairs) for part, pairs in files.items()}
    _refuse_leaks(listed)
    pairs, where = held_where_they_fit(files, options.memory_budget_mb)
    parts = {part: replace(images, pairs=pairs[part]) for part, images in listed.items()}
    return _task_data("folder", parts, (*notes, *where), options)


def _published_note(tests: Mapping[str, Sequence[HrImage]]) -> str:
    given = [label for label, images in tests.items() if any(image.low for image in images)]
    return f"test inputs: published for {', '.join(given) or 'none'}, made by the suite for all others"


def _cropped_notes(parts: Collection[SuperResolutionFiles], scale: int) -> list[str]:
    cropped = sum(files.cropped for files in parts)
    if not cropped:
        return []
    total = sum(len(files.images) for files in parts)
    return [f"{cropped} of {total} images are cropped at the bottom and right to sides that {scale} divides"]


def _prefixed(root: Path, name: str, several: bool) -> list[HrImage]:
    label = set_label(root, name)
    images = find_images(root, name)
    if not several:
        return images
    return [HrImage(name=f"{label}/{image.name}", path=image.path, crop=image.crop) for image in images]


def _find_tests(root: Path, names: Sequence[str], options: SuperResolutionData) -> dict[str, list[HrImage]]:
    plain = options.degradation == Degradation()
    found: dict[str, list[HrImage]] = {}
    for name in names:
        label = set_label(root, name)
        if label in found:
            raise DataError(f"two test sets are called '{label}': rename one of the folders")
        images = find_images(root, name)
        found[label] = with_low_resolution(root, name, images, options.scale) if plain else images
    return found


def _files(images: Sequence[HrImage], options: SuperResolutionData) -> SuperResolutionFiles:
    return super_resolution_files(images[: options.limit], options.scale, options.degradation)


def _part(files: SuperResolutionFiles, pairs: Pairs) -> _Part:
    return _Part(
        names=[image.name for image in files.images],
        pairs=pairs,
        digests=[file_digest(image.path) for image in files.images],
    )


def _refuse_leaks(parts: Mapping[str, _Part]) -> None:
    seen = {digest: name for part in ("train", "val") for name, digest in parts[part].entries()}
    for label, part in _tests(parts).items():
        for name, digest in part.entries():
            if digest in seen:
                raise DataError(
                    f"the training image '{seen[digest]}' is the source of '{name}' in the test set '{label}': "
                    "train on other images"
                )


def _tests(parts: Mapping[str, _Part]) -> dict[str, _Part]:
    """The parts called `test NAME`, by NAME."""
    return {part.removeprefix(_TEST): images for part, images in parts.items() if part.startswith(_TEST)}


def _task_data(name: str, parts: Mapping[str, _Part], notes: tuple[str, ...], options: SuperResolutionData) -> TaskData:
    described = f"degradation in training and test: {options.degradation.describe(options.scale)}"
    limited = () if options.limit is None else (f"limited to {options.limit} images a part",)
    train = dense_train(
        parts["train"].pairs,
        crop=options.hr_patch // options.scale,
        scale=options.scale,
        symmetry="dihedral" if options.augment else "none",
        workers=options.workers,
        grid=options.view == "grid",
    )
    grid = grid_notes(len(train), options.hr_patch) if options.view == "grid" else ()
    return TaskData(
        name=name,
        embedded=name == "photos",
        train=train,
        val=parts["val"].evaluation(options),
        tests={label: part.evaluation(options) for label, part in _tests(parts).items()},
        fingerprint=fingerprint({label: part.entries() for label, part in parts.items()}),
        notes=(described, *notes, *limited, *grid),
    )
