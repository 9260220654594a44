"""Where high-resolution images lie: named sets in their usual layouts, and anybody's own folders."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from densedistill.datasets.base import DataError
from densedistill.datasets.pixels import by_stem, image_files

NAMED_SETS = {
    "t91": ("sr/T91", "T91"),
    "set5": ("sr/Set5", "Set5"),
    "b100": ("sr/B100", "B100"),
    "bsds500-train": ("bsds500/images/train", "BSR/BSDS500/data/images/train", "BSDS500/data/images/train"),
    "bsds500-test": ("bsds500/images/test", "BSR/BSDS500/data/images/test", "BSDS500/data/images/test"),
}
"""Folders to try under the data root for each named set. BSDS500's val part is left out: B100 is cut from it."""

_BSDS_VAL = ("bsds500/images/val", "BSR/BSDS500/data/images/val", "BSDS500/data/images/val")


@dataclass(frozen=True, kw_only=True, slots=True)
class HrImage:
    """One high-resolution image on disk."""

    name: str
    path: Path
    crop: tuple[int, int] | None = None
    """(height, width) of its top-left part that is the image; None: all of it."""
    low: Path | None = None
    """Its published low-resolution counterpart, where there is one."""


def default_training(root: Path) -> tuple[str, ...]:
    """`train` where the root has it, the root itself where images lie in it or in HR, else T91 and BSDS500 train."""
    if (root / "train").is_dir():
        return ("train",)
    return (".",) if _high_files(root) else ("t91", "bsds500-train")


def default_tests(root: Path) -> tuple[str, ...]:
    """`test` where the root has it, nothing where images lie in the root itself or in HR, else Set5 and B100."""
    if (root / "test").is_dir():
        return ("test",)
    return () if _high_files(root) else ("set5", "b100")


def find_images(root: Path, name: str) -> list[HrImage]:
    """The images of a named set or of a folder (absolute, or relative to `root`), by name.

    A folder's images lie in it or in its subfolder `HR`.

    Raises:
        DataError: no such folder, or no images in it.
    """
    folder = _folder(root, name)
    table = folder / "B100.tsv"
    if name == "b100" and table.is_file():
        return _bsds_crops(root, table)
    files = _high_files(folder)
    if not files:
        raise DataError(f"no images in {folder} (nor in its subfolder HR): put the high-resolution images there")
    return [HrImage(name=stem, path=path) for stem, path in by_stem(files).items()]


def with_low_resolution(root: Path, name: str, images: list[HrImage], scale: int) -> list[HrImage]:
    """`images` with their published inputs, where the set has a folder `LR_x<scale>`; else as they are.

    Raises:
        DataError: the folder lacks an image.
    """
    folder = _folder(root, name) / f"LR_x{scale}"
    if not folder.is_dir():
        return images
    low = by_stem(image_files(folder))
    missing = [image.name for image in images if image.name not in low]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing[:5])}: add the missing inputs, or remove the folder "
            "so that all inputs are made by the suite's own degradation"
        )
    return [replace(image, low=low[image.name]) for image in images]


def set_label(root: Path, name: str) -> str:
    """What a set is called in results: its name, or the name of its folder."""
    return name if name in NAMED_SETS else (root / name).resolve().name


def _high_files(folder: Path) -> list[Path]:
    return image_files(folder / "HR") or image_files(folder)


def _folder(root: Path, name: str) -> Path:
    candidates = [root / place for place in NAMED_SETS.get(name, (name,))]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise DataError(
        f"no folder for '{name}': looked for {' and '.join(str(folder) for folder in candidates)}; give the folder "
        f"of your images, or one of the named sets ({', '.join(NAMED_SETS)}) below the data root"
    )


def _bsds_crops(root: Path, table: Path) -> list[HrImage]:
    """B100 as top-left crops of BSDS500's val images, listed in a table of name, id, width and height."""
    folders = [root / place for place in _BSDS_VAL]
    source = next((folder for folder in folders if folder.is_dir()), None)
    if source is None:
        raise DataError(
            f"{table} cuts B100 from BSDS500's val images: looked for {' and '.join(map(str, folders))}; "
            "put BSDS500 there, or B100's own images into a subfolder HR"
        )
    files = by_stem(image_files(source))
    images = []
    with table.open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            identity = row["bsds500_val_id"]
            if identity not in files:
                raise DataError(f"{table} names the image {identity}, which {source} lacks: complete BSDS500")
            size = (int(row["height"]), int(row["width"]))
            images.append(HrImage(name=row["name"], path=files[identity], crop=size))
    return images
