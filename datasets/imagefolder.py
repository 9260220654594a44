"""Folders of classes: ROOT/train/CLASS/*, with ROOT/val and ROOT/test of the same shape where there are any."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densedistill.datasets.base import DataError
from densedistill.datasets.decoding import read_bytes
from densedistill.datasets.labelled import ClassificationSource, ImageFiles, LabelledImages, class_places, known_class
from densedistill.datasets.naming import Names

_NAME = "imagefolder"
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
_WHOLE_CONTENT_BYTES = 1 << 30
_WHOLE_CONTENT_FILES = 200_000
NATIVE_SIZE = 224
"""Height and width that the images have, or are customarily used at, in pixels."""
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, kw_only=True, slots=True)
class FileList:
    """N image files below one folder; arrays, since there may be millions."""

    names: Names
    """Paths from the folder, with forward slashes."""
    labels: np.ndarray
    """(N,) int64, places in the list of classes."""
    sizes: np.ndarray
    """(N,) int64, bytes."""


def read_imagefolder(root: Path) -> ClassificationSource:
    """The image folder at `root`; its classes are the folders of `root/train`, in alphabetical order.

    Where `val` is absent a part of train is held out for it. Where `test` is absent, `val` serves as test (as is
    usual for ImageNet) and the validation part is held out of train. Normalised with ImageNet's statistics,
    which the pretrained networks expect.

    Raises:
        DataError: `root/train` is missing, a part holds no image, there is neither `val` nor `test`, or one of
            them has a class that train lacks.
    """
    train_folder = root / "train"
    if not train_folder.is_dir():
        raise DataError(
            f"no image folder at {root}: looked for {train_folder}/CLASS/*.jpg; "
            "put one folder of images per class there"
        )
    classes = sorted(path.name for path in train_folder.iterdir() if _is_class_folder(path))
    train = files_by_class(root, "train", classes)
    held = {part: files_by_class(root, part, classes) for part in ("val", "test") if (root / part).is_dir()}
    if not held:
        raise DataError(f"{root} has neither val nor test beside train: put images to test on in {root}/test")
    test = held.get("test") or held["val"]
    return ClassificationSource(
        name=_NAME,
        classes=tuple(classes),
        train=labelled_files(train, root),
        val=labelled_files(held["val"], root) if len(held) == 2 else None,
        tests={_NAME: labelled_files(test, root)},
        digest=digest_files([train, *held.values()], root),
        normalisation=_IMAGENET,
        notes=() if "test" in held else ("there is no test part: val serves as test",),
    )


def files_by_class(root: Path, part: str, classes: Sequence[str], *, subfolder: str = "") -> FileList:
    """The image files of `root/part/CLASS/subfolder`, at any depth, in order of class and path.

    Raises:
        DataError: the part has a class that is none of `classes`, no image at all, or a folder that cannot be read.
    """
    folder = root / part
    places = class_places(classes)
    for path in sorted(folder.iterdir()):
        if _is_class_folder(path):
            known_class(path.name, places, str(path))
    lists = [_files_below(root, _joined(part, name, subfolder), label) for name, label in places.items()]
    if not any(len(found.labels) for found in lists):
        raise DataError(f"{folder} holds no image: expected {folder}/CLASS/*.jpg (or png, bmp, webp, gif, tif)")
    return FileList(
        names=Names.joined([found.names for found in lists]),
        labels=np.concatenate([found.labels for found in lists]),
        sizes=np.concatenate([found.sizes for found in lists]),
    )


def listed_files(root: Path, names: Sequence[str], labels: Sequence[int]) -> FileList:
    """Files that are known by name.

    Raises:
        DataError: one of them is not there.
    """
    sizes = [_size(root / name) for name in names]
    return FileList(names=Names.of(names), labels=np.array(labels, np.int64), sizes=np.array(sizes, np.int64))


def labelled_files(files: FileList, root: Path) -> LabelledImages:
    """Images read on request, named by their path from `root`."""
    return LabelledImages(ImageFiles(root, files.names), files.names, files.labels)


def digest_files(parts: Sequence[FileList], root: Path) -> str:
    """SHA-256 (hexadecimal) over each file's path from `root`, size and, in sets that are not too large, content.

    Beyond 1 GiB or 200,000 files, reading everything would take longer than a look at a data set may: path and size
    must do.
    """
    count, total = sum(len(files.labels) for files in parts), sum(int(files.sizes.sum()) for files in parts)
    whole = total <= _WHOLE_CONTENT_BYTES and count <= _WHOLE_CONTENT_FILES
    digest = hashlib.sha256()
    for files in parts:
        for name, size in zip(files.names, files.sizes.tolist(), strict=True):
            digest.update(os.fsencode(f"{name}\n{size}\n"))
            if whole:
                digest.update(read_bytes(root / name))
    return digest.hexdigest()


def _files_below(root: Path, folder: str, label: int) -> FileList:
    """The image files of one class, ordered as their paths are: folder by folder."""
    found = sorted(_walk(root, folder), key=lambda file: file[0].split("/"))
    return FileList(
        names=Names.of([name for name, _ in found]),
        labels=np.full(len(found), label, dtype=np.int64),
        sizes=np.array([size for _, size in found], dtype=np.int64),
    )


def _walk(root: Path, folder: str) -> Iterator[tuple[str, int]]:
    """Path from `root` and size of each image below `folder`, at any depth; nothing where there is no such folder."""
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(root, name)
                elif _is_image(entry.name):
                    yield name, entry.stat().st_size
    except FileNotFoundError as error:
        if Path(error.filename) != root / folder:
            raise DataError(f"there is no file {error.filename}: its link points nowhere; remove it") from error
    except OSError as error:
        raise DataError(f"cannot read {error.filename} ({error.strerror}); check that it may be read") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check that the file is there and readable") from error


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _SUFFIXES  # noqa: PTH122


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _is_class_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")
