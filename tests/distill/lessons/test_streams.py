"""Loading ahead on a GPU, with streams that only write down what is asked of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from densedistill.distill.lessons.streams import load_ahead

CUDA = torch.device("cuda")


class _Stream:
    """A stream of the device that `told` describes."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told, self.events = name, told, 0

    def wait_stream(self, other: _Stream) -> None:
        self.told.append(f"{self.name} waits for what {other.name} has")

    def record_event(self) -> str:
        self.events += 1
        return f"{self.name} {self.events}"

    def wait_event(self, event: str) -> None:
        self.told.append(f"{self.name} waits for {event}")


class _OnGPU(Tensor):
    """A tensor that says it lies on a GPU, and who reads it."""

    is_cuda = True
    readers: list[str]

    def record_stream(self, stream: object) -> None:
        assert isinstance(stream, _Stream)
        self.readers = [*getattr(self, "readers", []), stream.name]


class _Device:
    """What CUDA keeps for each thread: its current stream."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.training, self.loading = _Stream("training", self.told), _Stream("loading", self.told)
        self._local = threading.local()

    @property
    def current(self) -> _Stream:
        return getattr(self._local, "stream", self.training)

    @contextlib.contextmanager
    def within(self, stream: _Stream) -> Iterator[None]:
        before, self._local.stream = self.current, stream
        try:
            yield
        finally:
            self._local.stream = before


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> _Device:
    device = _Device()
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: device.loading)
    monkeypatch.setattr(torch.cuda, "stream", device.within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: device.current)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda _device: device.training)
    return device


def _made(gpu: _Device, count: int, where: list[str]) -> Iterator[_OnGPU]:
    for place in range(count):
        where.append(gpu.current.name)
        yield torch.full((2,), float(place)).as_subclass(_OnGPU)


@pytest.mark.parametrize("depth", [0, 2])
def test_items_are_made_on_a_stream_of_their_own_and_waited_for(gpu: _Device, depth: int) -> None:
    where: list[str] = []
    taken = []
    for item in load_ahead(_made(gpu, 3, where), lambda item: [item], CUDA, depth):
        assert gpu.current is gpu.training, "a step runs where it always did"
        assert item.readers == ["training"], "the item's memory is not given away under the step"
        taken.append(float(item[0]))
    assert taken == [0.0, 1.0, 2.0]
    assert where == ["loading"] * 3
    assert gpu.told == ["loading waits for what training has", *(f"training waits for loading {n}" for n in (1, 2, 3))]


def test_an_error_comes_where_the_item_would_have_been(gpu: _Device) -> None:
    def items() -> Iterator[Tensor]:
        yield torch.zeros(1)
        raise ValueError("image 2 is broken")

    ahead = load_ahead(items(), lambda item: [item], CUDA)
    assert next(ahead).item() == 0.0
    with pytest.raises(ValueError, match="image 2 is broken"):
        next(ahead)
    assert gpu.current is gpu.training


def test_closing_ends_the_thread(gpu: _Device) -> None:
    ahead = load_ahead(_made(gpu, 1000, []), lambda item: [item], CUDA)
    next(ahead)
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_elsewhere_there_are_no_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: pytest.fail("a stream"))
    assert list(load_ahead(iter(range(5)), lambda _item: [], torch.device("cpu"))) == list(range(5))
