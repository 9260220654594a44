"""Threads beside the training's own, and what they do to it.

Every Python thread that computes with PyTorch on a CPU has a pool of OpenMP threads of its own. A pool's workers spin
for some milliseconds after each piece of work, in case more comes. Where the pools together have more workers than the
machine has cores, one that only spins takes a core from one that computes: a loader's pool made steps of MobileNetV2
1.6 times as long (two cores, batch 64).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch


def start_alone(work: Callable[[], None], name: str) -> threading.Thread:
    """Start `work` in a daemon thread in which PyTorch computes without further threads."""
    threads = torch.get_num_threads()
    alone = threading.Event()

    def begin() -> None:
        # Asking first: a thread takes the process's number at its first question, and would forget ours.
        torch.get_num_threads()
        torch.set_num_threads(1)
        alone.set()
        work()

    thread = threading.Thread(target=begin, name=name, daemon=True)
    thread.start()
    alone.wait()
    # The number that was set there is also what threads to come begin with; this one's must stay what it was.
    torch.set_num_threads(threads)
    return thread
