"""Folders of image pairs: an input and a target of the same name, for masks, denoising and the like.

root/images/NAME.*   root/masks/NAME.*                      one pool, val and test held out of it
root/images/train/NAME.*   root/masks/train/NAME.*   ...    parts as they are; a missing val or test is held out
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from densedistill.datasets.base import DataError
from densedistill.datasets.holdout import hold_out
from densedistill.datasets.pixels import by_stem, image_files


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One input and its target on disk."""

    name: str
    source: Path
    target: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class PairSplit:
    """The pairs of each part, and how the parts came about."""

    train: list[Pair]
    val: list[Pair]
    test: list[Pair]
    notes: tuple[str, ...]


def find_pairs(
    root: Path, *, sources: str = "images", targets: str = "masks", held_out: int | None = None, split_seed: int = 0
) -> PairSplit:
    """Pairs below `root` in the folders `sources` and `targets`.

    A part without a folder of its own is held out of train: `held_out` pairs of it, or a fifth where None.

    Raises:
        DataError: a folder is missing or empty, a file has no partner, or nothing is left to train on.
    """
    if not (root / sources / "train").is_dir():
        train = _part(root / sources, root / targets)
        val, test = None, None
    else:
        train = _part(root / sources / "train", root / targets / "train")
        val, test = (_optional(root, sources, targets, part) for part in ("val", "test"))
    count = held_out or max(1, len(train) // 5)
    notes = []
    if val is None:
        train, val = hold_out(train, count, split_seed, stream="val")
        notes.append(f"val: {count} pairs held out of train (split seed {split_seed})")
    if test is None:
        train, test = hold_out(train, count, split_seed, stream="test")
        notes.append(f"test: {count} pairs held out of train (split seed {split_seed})")
    return PairSplit(train=train, val=val, test=test, notes=tuple(notes))


def find_test_pairs(root: Path, *, sources: str = "images", targets: str = "masks") -> tuple[list[Pair], str]:
    """Pairs below `root` to test on where nothing is trained: its part `test`, else all of the pool that a training
    would hold its test out of; and a note that says which.

    Raises:
        DataError: a folder is missing or empty, or a file has no partner.
    """
    place = next((part for part in ("test", "train") if (root / sources / part).is_dir()), ".")
    pairs = _part(root / sources / place, root / targets / place)
    return pairs, f"test: all {len(pairs)} pairs of {root / sources / place}"


def _optional(root: Path, sources: str, targets: str, part: str) -> list[Pair] | None:
    folder = root / sources / part
    return _part(folder, root / targets / part) if folder.is_dir() else None


def _part(sources: Path, targets: Path) -> list[Pair]:
    for folder in (sources, targets):
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}: put images and masks of the same names side by side")
    inputs, outputs = by_stem(image_files(sources)), by_stem(image_files(targets))
    if not inputs:
        raise DataError(f"no images in {sources}")
    alone = sorted(inputs.keys() ^ outputs.keys())
    if alone:
        raise DataError(
            f"{len(alone)} names are in only one of {sources} and {targets}: {', '.join(alone[:5])}; "
            "add the missing files or remove their partners"
        )
    return [Pair(name=name, source=path, target=outputs[name]) for name, path in inputs.items()]
