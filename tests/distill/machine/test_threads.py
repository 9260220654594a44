"""A thread that computes by itself, and the others as before."""

from __future__ import annotations

import threading

import torch

from densedistill.distill.machine.threads import start_alone


def _threads_in_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_it_computes_alone_and_nobody_else_does() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found: list[int] = []
        go_on = threading.Event()

        def work() -> None:
            found.append(torch.get_num_threads())
            go_on.wait()
            # Also after another thread has set its own number, and after work that could run in parallel.
            torch.ones(1_000_000).sum()
            found.append(torch.get_num_threads())

        thread = start_alone(work, "test")
        assert torch.get_num_threads() == 3
        go_on.set()
        thread.join()
        assert found == [1, 1]
        assert torch.get_num_threads() == 3
        assert _threads_in_a_new_thread() == 3
    finally:
        torch.set_num_threads(before)
