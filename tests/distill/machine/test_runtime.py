"""Which device a name means, and what holds on it. There is no GPU here: PyTorch's answers about them are made up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from densedistill.distill.errors import RequestError
from densedistill.distill.machine.runtime import resolve_device, start_runtime


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    before = torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:1"])
@pytest.mark.usefixtures("two_gpus")
def test_float32_is_float32_on_a_gpu(name: str) -> None:
    torch.backends.cudnn.allow_tf32 = True
    assert resolve_device(name).type == "cuda"
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.rnn.fp32_precision != "tf32"


@pytest.mark.usefixtures("two_gpus")
def test_a_cpu_leaves_the_gpus_settings_alone() -> None:
    torch.backends.cudnn.allow_tf32 = True
    assert resolve_device("cpu") == torch.device("cpu")
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.usefixtures("two_gpus")
def test_of_several_processes_none_takes_a_numbered_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(RequestError, match="'cuda:2' is not there"):
        resolve_device("cuda:2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert resolve_device("cuda") == torch.device("cuda")
    with pytest.raises(RequestError, match="torchrun has started 2 processes: give cuda"):
        resolve_device("cuda:0")


@pytest.mark.usefixtures("two_gpus")
def test_a_precision_is_asked_of_the_gpu_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def supported(*, including_emulation: bool) -> bool:
        asked.append(f"bf16, emulated {including_emulation}")
        raise RuntimeError("far enough")

    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    with pytest.raises(RuntimeError, match="far enough"):
        start_runtime("cuda:1", "auto")
    assert asked == [torch.device("cuda:1"), "bf16, emulated False"]
