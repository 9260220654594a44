"""Turning what the machine ran out of into a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from densedistill.distill.errors import DISK_FULL, RunFailedError, first_line


def of_memory(error: Exception) -> bool:
    """Whether `error` says that memory ran out, the machine's or the accelerator's."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("allocate memory" in text or "out of memory" in text)


@contextlib.contextmanager
def naming_failures(folder: Path | None) -> Iterator[None]:
    """Raise `RunFailedError` for a full disk and for memory that ran out; let everything else through.

    `folder` is the run's; None: nothing is kept.
    """
    kept = f"; the last good state in {folder} is kept" if folder is not None else ""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise RunFailedError(f"the disk is full ({error.strerror}): free some space and add --resume{kept}.") from error
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if "No space left on device" in text or "unexpected pos" in text or "write failed" in text:
            raise RunFailedError(f"the disk is full: free some space and add --resume{kept}.") from error
        if not of_memory(error):
            raise
        raise RunFailedError(f"memory ran out ({first_line(error)}): give a smaller --batch-size{kept}.") from error
