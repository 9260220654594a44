"""Answers on disk: pictures under the images' names, and one table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from densedistill.distill.errors import RunFailedError
from densedistill.distill.files import replacing, write_text
from densedistill.distill.prediction.application import Outcome, as_bytes
from densedistill.tools.predict_inputs import Input

TABLE = "predictions.csv"
TEACHER = "teacher_"
"""Before the columns of the teacher's row."""
_OVERLAY, _TEACHER_S, _COMPARED = "_overlay", "_teacher", "_compared"
"""After an image's name in the names of its pictures: `Outcome.pictures` has the first where classes are told."""
_GAP = 8
"""White pixels between pictures side by side."""


def endings(*, classes: bool, teacher: bool) -> tuple[str, ...]:
    """What may follow an image's name in the names of its pictures.

    Args:
        classes: whether the arm tells classes.
        teacher: whether its teacher is applied as well.
    """
    own = ("", _OVERLAY) if classes else ("",)
    return (*own, *(f"{ending}{_TEACHER_S}" for ending in own), _COMPARED) if teacher else own


class Answers:
    """Writes what is told of each image; the table, where there is one, when all is done.

    Args:
        folder: where to write; made if need be.
        arms: the arm that is applied, and its teacher where that is asked as well.
    """

    def __init__(self, folder: Path, arms: Sequence[str]) -> None:
        self.folder, self.arms = folder, tuple(arms)
        self.done = 0
        self._rows: list[dict[str, str | float]] = []

    def write(self, file: Input, image: Tensor, outcomes: Sequence[Outcome]) -> None:
        """Write the pictures of one image, and keep its row.

        Args:
            file: the image's file.
            image: (3, h, w) in [0, 1], as the network was shown it.
            outcomes: one for each arm.

        Raises:
            RunFailedError: a file cannot be written.
        """
        row: dict[str, str | float] = {"image": file.name}
        for outcome, prefix in zip(outcomes, ("", TEACHER), strict=False):
            row |= {f"{prefix}{column}": value for column, value in outcome.row.items()}
            for ending, picture in outcome.pictures.items():
                self._save(f"{file.stem}{ending}{_TEACHER_S if prefix else ''}.png", picture)
        if len(outcomes) > 1 and all(outcome.pictures for outcome in outcomes):
            looked_at = [list(outcome.pictures.values())[-1] for outcome in outcomes]
            self._save(f"{file.stem}{_COMPARED}.png", side_by_side([as_bytes(image), *looked_at]))
        if len(row) > 1:
            self._rows.append(row)
        self.done += 1

    def close(self) -> None:
        """Write the table; RunFailedError where that cannot be."""
        if not self._rows:
            return
        columns = list(dict.fromkeys(column for row in self._rows for column in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(self._rows)
        try:
            write_text(self.folder / TABLE, text.getvalue())
        except OSError as error:
            raise _unwritten(self.folder / TABLE, error) from error

    def _save(self, name: str, picture: np.ndarray) -> None:
        path = self.folder / name
        try:
            with replacing(path) as temporary:
                Image.fromarray(picture).save(temporary, format="PNG")
        except OSError as error:
            raise _unwritten(path, error) from error


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures in a row on white, (H, W, 3) uint8; a smaller one is enlarged by a whole factor, pixel by pixel."""
    height = max(len(picture) for picture in pictures)
    columns = []
    for picture in pictures:
        colours = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        factor = height // len(picture)
        enlarged = colours.repeat(factor, axis=0).repeat(factor, axis=1)
        below = height - len(enlarged)
        columns.append(np.pad(enlarged, ((0, below), (0, _GAP), (0, 0)), constant_values=255))
    return np.concatenate(columns, axis=1)[:, :-_GAP].astype(np.uint8)


def _unwritten(path: Path, error: OSError) -> RunFailedError:
    return RunFailedError(f"'{path}' cannot be written: {error.strerror or error}; answers written so far are kept.")
