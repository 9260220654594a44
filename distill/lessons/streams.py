"""Loading ahead on a GPU: what the loader's thread does there has a queue of its own.

A copy to the device waits until its stream has done all that was queued before. On the training's stream that is the
step in hand and the next ones: batches of images that lie on the device would be made in between steps, and not beside
them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from densedistill.distill.lessons.prefetch import prefetch

Item = TypeVar("Item")


def load_ahead(
    items: Iterator[Item], tensors_of: Callable[[Item], Iterable[Tensor]], device: torch.device, depth: int = 2
) -> Generator[Item, None, None]:
    """`prefetch(items, depth)`; on a GPU `items` are made on a stream of their own.

    Args:
        items: what is to be made; whatever they share on the device must not change from the first one on.
        tensors_of: the tensors of an item; the stream that is current where the item is taken may then use them.
        device: where they lie.
        depth: how many are kept ready.
    """
    if device.type != "cuda":
        yield from prefetch(items, depth)
        return
    with contextlib.closing(prefetch(_made_beside(items, device), depth)) as ahead:
        for item, made in ahead:
            current = torch.cuda.current_stream(device)
            current.wait_event(made)
            for tensor in tensors_of(item):
                # The allocator gives a tensor's memory to the next batch once nobody holds it: by then this stream
                # must have read it.
                if tensor.is_cuda:
                    tensor.record_stream(current)
            yield item


def _made_beside(items: Iterator[Item], device: torch.device) -> Iterator[tuple[Item, torch.cuda.Event]]:
    """Each item with the event after which it is there. The stream is current only while an item is made."""
    new_stream: Callable[[torch.device], torch.cuda.Stream] = torch.cuda.Stream
    stream = new_stream(device)
    # Images that lie on the device already may have been put there by what is still queued.
    stream.wait_stream(torch.cuda.default_stream(device))
    while True:
        with torch.cuda.stream(stream):
            try:
                item = next(items)
            except StopIteration:
                return
            made = stream.record_event()
        yield item, made
