"""Keeping freed memory, seen by the page faults it spares."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from densedistill.distill.machine.allocator import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    return len([torch.ones(size * 1_000_000) for size in (1, 4, 2, 9, 3)])
for _ in range(5):
    step()
before = faults()
for _ in range(5):
    step()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the switch")
def test_memory_that_is_kept_is_not_faulted_in_again() -> None:
    """A step of 76 MB has 18,555 pages of 4 KiB; kept, they are there."""
    page = resource.getpagesize()

    def faults(keep: bool) -> int:
        done = subprocess.run(
            [sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    pages = 5 * 76_000_000 // page
    # The system may take huge pages, or untouched ones back from a process that waits.
    kept, returned = faults(keep=True), faults(keep=False)
    assert returned > pages / 10
    assert kept < returned / 4
