"""Images on disk with the class of each pixel, and how many classes there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from densedistill.datasets.base import DataError
from densedistill.datasets.bicubic import imresize_8bit
from densedistill.datasets.dense_files import AnnotatedFile, AnnotatedFiles, refuse_sizes
from densedistill.datasets.dense_pairs import Planes
from densedistill.datasets.pixels import read_labels, read_rgb, to_planes

IGNORED = 255
"""The number of pixels without a class, as the field's 8-bit masks mark them."""
MOST_CLASSES = IGNORED


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassFiles(AnnotatedFiles):
    """Pairs of an image and its pixels' classes, by place."""

    classes: int

    def read(self, place: int) -> Planes:
        """Image (3, H, W) and classes (1, H, W).

        Raises:
            DataError: a file cannot be read, the mask is of another size than the image, or names a class that is none.
        """
        file = self.files[place]
        labels = read_labels(file.annotation)
        refuse_sizes(file.annotation, labels.shape, file.image, file.size)
        self._refuse_strangers(file, labels)
        return class_pair(read_rgb(file.image), labels, self.side)

    def _refuse_strangers(self, file: AnnotatedFile, labels: np.ndarray) -> None:
        strangers = [int(value) for value in np.unique(labels) if self.classes <= value != IGNORED]
        if strangers:
            listed = ", ".join(str(value) for value in strangers[:5]) + (", ..." if len(strangers) > 5 else "")
            raise DataError(
                f"{file.annotation} holds the class numbers {listed} and there are {self.classes} classes (0 to "
                f"{self.classes - 1}, {IGNORED} for none): mend the mask, or give data.classes"
            )


def class_pair(image: np.ndarray, labels: np.ndarray, side: int | None = None) -> Planes:
    """(H, W, 3) and (H, W) uint8 to planes; with `side` the image is resized to side x side, antialiased, and each
    pixel of its mask takes the class of the nearest one.
    """
    if side is not None:
        image = imresize_8bit(image, (side, side))
        labels = np.asarray(Image.fromarray(labels).resize((side, side), Image.Resampling.NEAREST))
    return to_planes(image), to_planes(labels)


def count_classes(files: Sequence[AnnotatedFile]) -> int:
    """One more than the largest class number in the masks of `files`; every mask is read.

    Raises:
        DataError: a mask cannot be read, or all pixels are of one class.
    """
    seen = np.zeros(IGNORED + 1, bool)
    for file in files:
        seen[np.unique(read_labels(file.annotation))] = True
    numbers = np.flatnonzero(seen[:IGNORED])
    if len(numbers) < 2:
        only = f"class {numbers[0]} alone" if len(numbers) else "no class at all"
        raise DataError(
            f"the {len(files)} training masks hold {only}: segmentation tells two classes or more apart, so give masks "
            "with the number of each pixel's class (0, 1, 2, ...), or train on them as maps with --task edges"
        )
    return int(numbers[-1]) + 1
