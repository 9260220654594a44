"""The folder that holds the data: named in the options, or by the environment."""

from __future__ import annotations

import os
from pathlib import Path

from densedistill.datasets.base import DataError

ROOT_VARIABLE = "DENSEDISTILL_DATA"


def data_root(root: Path | None, data: str) -> Path:
    """`root`, or where it is None the folder that DENSEDISTILL_DATA names; it exists.

    Raises:
        DataError: neither is given, or it is not a folder.
    """
    given = root or os.environ.get(ROOT_VARIABLE)
    if not given:
        raise DataError(f"data '{data}' needs a root: give --data-root or set {ROOT_VARIABLE}.")
    folder = expanded(given)
    if not folder.is_dir():
        raise DataError(f"the data root {folder} for '{data}' is not a folder: give the folder that holds the data.")
    return folder


def expanded(given: Path | str) -> Path:
    """`given` with the home folder that `~` or `~NAME` stands for.

    Raises:
        DataError: there is no such user.
    """
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise DataError(f"'{given}' is in no known home folder ({error}): give its path in full.") from None
