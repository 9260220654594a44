"""Finding the predictions in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from densedistill.distill.errors import RequestError


def require_all(folder: Path, names: Sequence[str]) -> list[Path]:
    """The PNG of each name in `folder`.

    Raises:
        RequestError: there is no such folder, or it lacks some.
    """
    if not folder.is_dir():
        raise RequestError(f"the folder of predictions '{folder}' does not exist: give --predictions DIR.")
    files = [folder / f"{name}.png" for name in names]
    missing = [file.stem for file in files if not file.is_file()]
    if missing:
        raise RequestError(
            f"'{folder}' lacks {len(missing)} of {len(names)} predictions ({', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}): put one PNG for each true image there, under its name."
        )
    return files
