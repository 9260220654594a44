"""Turning what the machine ran out of into a sentence."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import torch

from densedistill.distill.errors import RunFailedError, first_line


@contextlib.contextmanager
def naming_failures(folder: Path | None) -> Iterator[None]:
    """Raise `RunFailedError` for a full disk and for memory that ran out; let everything else through."""
    where = f" in {folder}" if folder is not None else ""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunFailedError(
            f"the disk is full ({error.strerror}): free some space and add --resume; the last good state{where} is "
            "kept."
        ) from error
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        text = str(error)
        if isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError):
            if "No space left on device" in text or "unexpected pos" in text or "write failed" in text:
                raise RunFailedError(
                    f"the disk is full: free some space and add --resume; the last good state{where} is kept."
                ) from error
            if "allocate memory" not in text and "out of memory" not in text:
                raise
        raise RunFailedError(
            f"memory ran out ({first_line(error)}): give a smaller --batch-size; the last good state{where} is kept."
        ) from error
