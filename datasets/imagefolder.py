"""Folders of classes: ROOT/train/CLASS/*, with ROOT/val and ROOT/test of the same shape where there are any."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from densedistill.datasets.base import DataError
from densedistill.datasets.decoding import read_bytes
from densedistill.datasets.labelled import ClassificationSource, ImageFiles, LabelledImages, class_places, known_class

LabelledFile = tuple[Path, int]
"""An image file and the place of its class."""

_NAME = "imagefolder"
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
_WHOLE_CONTENT_LIMIT = 1 << 30
_SIZE = 224
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


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
    train = files_by_class(train_folder, classes)
    held = {part: files_by_class(root / part, classes) for part in ("val", "test") if (root / part).is_dir()}
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
        native_size=_SIZE,
        normalisation=_IMAGENET,
        notes=() if "test" in held else ("there is no test part: val serves as test",),
    )


def files_by_class(folder: Path, classes: Sequence[str], *, subfolder: str = "") -> list[LabelledFile]:
    """The image files of `folder/CLASS/subfolder`, at any depth, in order of class and path.

    Raises:
        DataError: `folder` has a class that is none of `classes`, or no image at all.
    """
    places = class_places(classes)
    for path in sorted(folder.iterdir()):
        if _is_class_folder(path):
            known_class(path.name, places, str(path))
    files = []
    for name, label in places.items():
        found = sorted(path for path in (folder / name / subfolder).rglob("*") if path.suffix.lower() in _SUFFIXES)
        files += [(path, label) for path in found if not path.name.startswith(".")]
    if not files:
        raise DataError(f"{folder} holds no image: expected {folder}/CLASS/*.jpg (or png, bmp, webp, gif, tif)")
    return files


def labelled_files(files: Sequence[LabelledFile], root: Path) -> LabelledImages:
    """Images read on request, named by their path from `root`."""
    paths = tuple(path for path, _ in files)
    ids = tuple(path.relative_to(root).as_posix() for path in paths)
    return LabelledImages(ImageFiles(paths), ids, np.array([label for _, label in files], dtype=np.int64))


def digest_files(parts: Sequence[Sequence[LabelledFile]], root: Path) -> str:
    """SHA-256 (hexadecimal) over each file's path from `root`, size and, up to 1 GiB in all, content.

    Beyond 1 GiB, reading everything would take longer than a look at a data set may: path and size must do.
    """
    sized = [(path, path.stat().st_size) for files in parts for path, _ in files]
    whole = sum(size for _, size in sized) <= _WHOLE_CONTENT_LIMIT
    digest = hashlib.sha256()
    for path, size in sized:
        digest.update(f"{path.relative_to(root).as_posix()}\n{size}\n".encode())
        if whole:
            digest.update(read_bytes(path))
    return digest.hexdigest()


def _is_class_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")
