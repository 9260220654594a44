"""Keeping freed memory: large tensors on a CPU are not asked from the system anew in every step.

glibc gives a block of 128 KiB or more (32 MiB at most) back to the system when it is freed. A training step frees all
its activations and asks for as many again, and the system zeroes every page of them at its first touch.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""`M_TRIM_THRESHOLD`, `M_TOP_PAD` and `M_MMAP_MAX` of <malloc.h>."""
_NEVER = 2**31 - 1
_PAD = 256 * 2**20
"""By which the heap grows beyond what is asked for: addresses only, until they are touched."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for its next step. It cannot be undone; returns whether it was done.

    A process then holds its peak until it ends. Only glibc has the switch; with another allocator nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Blocks from the heap and not from a mapping of their own, and a heap that is not cut back.
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _TOP_PAD: _PAD}
    return all(bool(mallopt(name, value)) for name, value in settings.items())
