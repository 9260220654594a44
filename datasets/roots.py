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
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise DataError(f"the data root {folder} for '{data}' is not a folder: give the folder that holds the data.")
    return folder
