"""Images on disk with what was annotated of them, known by their headers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from densedistill.datasets.base import DataError
from densedistill.datasets.dense import Size, window
from densedistill.datasets.dense_pairs import Planes
from densedistill.datasets.pixels import SUFFIXES, file_digest, image_size


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedFile:
    """One image and its annotation on disk."""

    name: str
    image: Path
    annotation: Path
    """A mask, or BSDS500's `.mat` or `.npz`."""
    size: Size
    """Of the image."""

    def digest(self) -> bytes:
        """Both files' digests; DataError where a file cannot be read."""
        return file_digest(self.image) + file_digest(self.annotation)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedFiles(ABC):
    """Pairs of an image and one plane of what was annotated of it, by place."""

    files: Sequence[AnnotatedFile]
    side: int | None = None
    """Every pair is resized to this many pixels each way. None: pairs as they are."""

    @property
    def sizes(self) -> Sequence[Size]:
        """Sizes of the pairs."""
        return [file.size if self.side is None else (self.side, self.side) for file in self.files]

    @property
    def held_bytes(self) -> int:
        """Three channels of the image and one of the annotation."""
        return sum(4 * height * width for height, width in self.sizes)

    @abstractmethod
    def read(self, place: int) -> Planes:
        """Image (3, H, W) and annotation (1, H, W).

        Raises:
            DataError: a file cannot be read, or its annotation does not fit it.
        """

    def read_window(self, place: int, top: int, left: int, side: int) -> Planes:
        """What `read` gives, seen through a window; errors as `read`."""
        image, annotation = self.read(place)
        return window(image, top, left, side), window(annotation, top, left, side)


def annotated_file(name: str, image: Path, annotation: Path) -> AnnotatedFile:
    """An image and its annotation, checked by their headers; nothing is decoded.

    Raises:
        DataError: a file is no image, or a mask is of another size than its image.
    """
    size = image_size(image)
    if annotation.suffix.lower() in SUFFIXES:
        refuse_sizes(annotation, image_size(annotation), image, size)
    return AnnotatedFile(name=name, image=image, annotation=annotation, size=size)


def refuse_sizes(annotation: Path, found: tuple[int, ...], image: Path, expected: Size) -> None:
    """Raise `DataError` unless what was annotated is of the image's (height, width)."""
    if found != expected:
        raise DataError(
            f"{annotation} is {found[1]}x{found[0]} and its image {image} is {expected[1]}x{expected[0]}: "
            "give a mask of the image's size"
        )


def in_order_of_shape(files: Sequence[AnnotatedFile]) -> list[AnnotatedFile]:
    """By size and then by name: neighbours of one size are evaluated in one batch."""
    return sorted(files, key=lambda file: (file.size, file.name))


def filling_a_view(files: Sequence[AnnotatedFile], side: int) -> tuple[list[AnnotatedFile], tuple[str, ...]]:
    """The images that fill a square view of `side` pixels, and a note where others do not.

    Raises:
        DataError: none does.
    """
    filling = [file for file in files if min(file.size) >= side]
    if not filling:
        raise DataError(
            f"none of the {len(files)} training images is as large as a view of {side}: "
            "give a smaller size, or view=resize"
        )
    missing = len(files) - len(filling)
    note = f"{missing} training images smaller than a view of {side} left out"
    return filling, (note,) if missing else ()
