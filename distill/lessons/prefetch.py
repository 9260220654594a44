"""Loading ahead: the next batches are made in a thread while the step runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

from densedistill.distill.machine.threads import start_alone

Item = TypeVar("Item")


class _End:
    """Marks the end of the stream, with the error that ended it, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(items: Iterator[Item], depth: int = 2) -> Generator[Item, None, None]:
    """Yield `items` in order, keeping up to `depth` of them ready. Errors are raised where they would have been.

    With `depth` 0 nothing is made ahead and there is no thread.
    """
    if depth == 0:
        yield from items
        return
    ready: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(item: Item | _End) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as raised:
            error = raised
        put(_End(error))

    thread = start_alone(work, "prefetch")
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()
