"""Where what a machine has learnt lies, for all runs of its user: measured compilations, machine code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "DENSEDISTILL_CACHE"


def cache_folder() -> Path:
    """`$DENSEDISTILL_CACHE`, or `densedistill` in the platform's folder for a user's caches."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "densedistill"
    variable, default = ("LOCALAPPDATA", "AppData/Local") if os.name == "nt" else ("XDG_CACHE_HOME", ".cache")
    return Path(os.environ.get(variable) or Path.home() / default) / "densedistill"
