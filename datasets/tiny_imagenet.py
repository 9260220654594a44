"""Tiny-ImageNet (Stanford CS231n): the official folder, or a part of it packed in tar archives."""

from __future__ import annotations

from pathlib import Path

from densedistill.datasets.archives import encoded_by_folder, joint_digest, read_archives
from densedistill.datasets.base import DataError
from densedistill.datasets.decoding import read_bytes
from densedistill.datasets.imagefolder import FileList, digest_files, files_by_class, labelled_files, listed_files
from densedistill.datasets.labelled import ClassificationSource, class_places, known_class

_NAME = "tiny-imagenet"
_OFFICIAL = "tiny-imagenet-200"
_PACKED = "tiny_imagenet100"
NATIVE_SIZE = 64
"""Height and width that the images have, or are customarily used at, in pixels."""
_NORMALISATION = ((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821))
_TEST_NOTE = "the official validation part serves as test: the official test part has no labels"


def read_tiny_imagenet(root: Path) -> ClassificationSource:
    """Tiny-ImageNet under `root`; some of its images are grayscale and are replicated to RGB.

    Two layouts are known: `tiny-imagenet-200/{wnids.txt, words.txt, train/WNID/images/*.JPEG,
    val/val_annotations.txt, val/images/*.JPEG}`, and `tiny_imagenet100/{classes.tsv, train_part*.tar.xz,
    val.tar.xz}` whose members are `train/WNID/NAME.JPEG` and `val/WNID/NAME.JPEG`.

    Raises:
        DataError: neither layout is under `root`, or a file is missing, damaged or of an unknown class.
    """
    for folder in (root, root / _OFFICIAL):
        if (folder / "wnids.txt").is_file():
            return _official(folder)
    for folder in (root, root / _PACKED):
        if (folder / "classes.tsv").is_file():
            return _packed(folder)
    raise DataError(
        f"{_NAME} is not under {root}: looked for {_OFFICIAL}/wnids.txt and {_PACKED}/classes.tsv; "
        "unpack tiny-imagenet-200.zip (cs231n.stanford.edu) there"
    )


def _official(folder: Path) -> ClassificationSource:
    wnids = _text(folder / "wnids.txt").split()
    words = _words(folder / "words.txt")
    train = files_by_class(folder, "train", wnids, subfolder="images")
    test = _annotated(folder, wnids)
    return ClassificationSource(
        name=_NAME,
        classes=tuple(words.get(wnid, wnid) for wnid in wnids),
        train=labelled_files(train, folder),
        tests={_NAME: labelled_files(test, folder)},
        digest=digest_files([train, test], folder),
        normalisation=_NORMALISATION,
        notes=(_TEST_NOTE,),
    )


def _annotated(folder: Path, wnids: list[str]) -> FileList:
    """The validation part, whose classes stand in `val_annotations.txt` as `NAME<tab>WNID<tab>box`."""
    rows = [line.split("\t")[:2] for line in _text(folder / "val" / "val_annotations.txt").splitlines() if line]
    places = class_places(wnids)
    names = [f"val/images/{row[0]}" for row in rows]
    labels = [known_class(row[-1], places, str(folder / name)) for row, name in zip(rows, names, strict=True)]
    return listed_files(folder, names, labels)


def _packed(folder: Path) -> ClassificationSource:
    rows = [line.split("\t") for line in _text(folder / "classes.tsv").splitlines() if line]
    if any(len(row) != 3 for row in rows):
        raise DataError(f"{folder / 'classes.tsv'} must have three columns: number, WNID, words")
    wnids = [row[1] for row in rows]
    parts = sorted(folder.glob("train_part*.tar.xz"))
    if not parts:
        raise DataError(f"{folder} has classes.tsv but no train_part*.tar.xz; copy the archives there")
    *train, test = archives = read_archives([*parts, folder / "val.tar.xz"])
    return ClassificationSource(
        name=_NAME,
        classes=tuple(row[2] for row in rows),
        train=encoded_by_folder(train, wnids),
        tests={_NAME: encoded_by_folder([test], wnids)},
        digest=joint_digest(archives),
        normalisation=_NORMALISATION,
        notes=(f"{len(wnids)} of Tiny-ImageNet's 200 classes", _TEST_NOTE),
    )


def _words(path: Path) -> dict[str, str]:
    """English names by WNID, from lines of `WNID<tab>words`; empty where the file is absent."""
    if not path.is_file():
        return {}
    rows = (line.split("\t", 1) for line in _text(path).splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


def _text(path: Path) -> str:
    return read_bytes(path).decode("utf-8")
