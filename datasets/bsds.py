"""BSDS500: images and what each annotator drew (Arbelaez et al., TPAMI 2011)."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from densedistill.datasets.base import DataError
from densedistill.datasets.pixels import by_stem, image_files

Split = Literal["train", "val", "test"]

_LAYOUTS = ("bsds500", "BSR/BSDS500/data", "BSDS500/data", "BSDS500", ".")
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedImage:
    """One image of BSDS500 on disk."""

    name: str
    image: Path
    annotation: Path
    """`.mat` as published, or `.npz` with the arrays `boundaries` and `segmentation`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotations:
    """What every annotator of one image drew; n annotators, 4 to 9 of them."""

    boundaries: np.ndarray
    """(n, H, W) uint8, 1 on a boundary."""
    segmentations: np.ndarray
    """(n, H, W) uint16, a region's label at each pixel."""


def bsds_images(root: Path, split: Split) -> list[AnnotatedImage]:
    """The images of a part, by name: 200 in train, 100 in val, 200 in test when the data set is complete.

    Raises:
        DataError: the data set is not below `root`, or an image has no annotation.
    """
    base = _base(root)
    annotations = _annotations(base / "groundTruth" / split)
    images = by_stem(image_files(base / "images" / split))
    if not images:
        raise DataError(f"no images in {base / 'images' / split}: unpack BSDS500 there")
    for name, path in images.items():
        if name not in annotations:
            raise DataError(f"{path} has no annotation {base / 'groundTruth' / split / name}.mat (or .npz)")
    return [AnnotatedImage(name=name, image=path, annotation=annotations[name]) for name, path in images.items()]


def read_annotations(path: Path) -> Annotations:
    """All annotators of one image, from `.mat` or `.npz`; nothing in the file is executed.

    Raises:
        DataError: the file is damaged or holds something else.
    """
    try:
        return _from_npz(path) if path.suffix == ".npz" else _from_mat(path)
    except _UNREADABLE as error:
        raise DataError(
            f"cannot read BSDS500 annotations from {path}: {error}; replace the file by the original"
        ) from error


def annotator_share(boundaries: np.ndarray) -> np.ndarray:
    """(n, H, W) 0/1 to (H, W) uint8: the share of annotators who drew a boundary at the pixel, 255 = all."""
    share = boundaries.astype(np.float64).mean(axis=0)
    rounded: np.ndarray = np.floor(share * 255.0 + 0.5).astype(np.uint8)
    return rounded


def _base(root: Path) -> Path:
    for layout in _LAYOUTS:
        base = root / layout
        if (base / "images").is_dir() and (base / "groundTruth").is_dir():
            return base
    raise DataError(
        f"BSDS500 is not below {root}: looked for images and groundTruth in {', '.join(_LAYOUTS)}; "
        "unpack BSR_bsds500.tgz there, or point the data root to where it is"
    )


def _annotations(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"no annotations: there is no folder {folder}")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in (".mat", ".npz")}


def _from_npz(path: Path) -> Annotations:
    with np.load(path, allow_pickle=False) as arrays:
        return _checked(list(arrays["boundaries"]), list(arrays["segmentation"]))


def _from_mat(path: Path) -> Annotations:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(str(path))
    except MatReadError as error:
        raise ValueError(str(error)) from error
    # `groundTruth` is a 1 x n cell; each cell holds a 1 x 1 struct with the two matrices.
    structs = [cell[0, 0] for cell in content["groundTruth"].ravel()]
    return _checked(
        [np.asarray(struct["Boundaries"]) for struct in structs],
        [np.asarray(struct["Segmentation"]) for struct in structs],
    )


def _checked(boundaries: list[np.ndarray], segmentations: list[np.ndarray]) -> Annotations:
    if not boundaries or any(mask.ndim != 2 for mask in boundaries):
        raise ValueError("it holds no boundary maps")
    return Annotations(
        boundaries=(np.stack(boundaries) != 0).astype(np.uint8),
        segmentations=np.stack(segmentations).astype(np.uint16),
    )
