"""Loading ahead in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from densedistill.distill.lessons.prefetch import prefetch


def _prefetching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_order_is_kept() -> None:
    assert list(prefetch(iter(range(50)), depth=3)) == list(range(50))
    assert _prefetching() == []


def test_an_error_is_raised_where_it_would_have_been() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("image 3 is broken")

    seen: list[int] = []
    with pytest.raises(ValueError, match="image 3 is broken"):
        seen.extend(prefetch(items()))
    assert seen == [1, 2]
    assert _prefetching() == []


def test_early_close_ends_the_thread_and_loads_no_further() -> None:
    loaded = []

    def items() -> Iterator[int]:
        for place in range(1000):
            loaded.append(place)
            yield place

    stream = prefetch(items(), depth=2)
    assert next(stream) == 0
    stream.close()  # type: ignore[attr-defined]
    assert _prefetching() == []
    assert len(loaded) <= 5


def test_an_error_in_the_loop_ends_the_thread() -> None:
    def train() -> None:
        for item in prefetch(iter(range(1000))):
            if item == 2:
                raise RuntimeError("step failed")

    with pytest.raises(RuntimeError, match="step failed"):
        train()
    assert _prefetching() == []
