"""Weight files: what loads, what is refused, and that nothing is half loaded."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from densedistill.backbones import NetworkError, count_parameters, load_weights
from densedistill.backbones.weights import read_state_dict


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def _state(seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return _network().state_dict()


def _assert_holds(module: nn.Module, state: dict[str, Tensor]) -> None:
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


def test_count_parameters_leaves_buffers_out() -> None:
    assert count_parameters(_network()) == (3 * 4 * 9 + 4) + (4 + 4) + (4 * 2 + 2)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".th", ".bin"])
@pytest.mark.parametrize("envelope", [None, "state_dict", "params", "params_ema", "model"])
def test_torch_files_and_their_wrappings(tmp_path: Path, suffix: str, envelope: str | None) -> None:
    state = _state()
    content = {envelope: state, "epoch": 3} if envelope else state
    torch.save(content, tmp_path / f"w{suffix}")
    network = _network()
    load_weights(network, tmp_path / f"w{suffix}")
    _assert_holds(network, state)


def test_safetensors_and_a_data_parallel_prefix(tmp_path: Path) -> None:
    state = _state()
    save_file({f"module.{key}": value for key, value in state.items()}, tmp_path / "w.safetensors")
    network = _network()
    load_weights(network, str(tmp_path / "w.safetensors"))
    _assert_holds(network, state)


def test_averaged_weights_are_preferred(tmp_path: Path) -> None:
    torch.save({"params": _state(1), "params_ema": _state(2)}, tmp_path / "w.pth")
    network = _network()
    load_weights(network, tmp_path / "w.pth")
    _assert_holds(network, _state(2))


class _Runs:
    """Pickled, it creates a file when it is read without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_code_is_refused_and_never_runs(tmp_path: Path, legacy: bool) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "evil.pth"
    torch.save({**_state(), "x": _Runs(marker)}, path, _use_new_zipfile_serialization=not legacy)
    network = _network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(NetworkError, match="could run code, and is refused; convert its tensors to safetensors"):
        load_weights(network, path)
    assert not marker.exists()
    _assert_holds(network, before)
    torch.load(path, weights_only=False)
    assert marker.exists(), "the file must be one that does run code when read without care"


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(_network(), tmp_path / "whole.pth")
    with pytest.raises(NetworkError, match="refused"):
        load_weights(_network(), tmp_path / "whole.pth")


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["w.pth", "old.pth", "w.safetensors"])
def test_a_truncated_file_is_named(tmp_path: Path, kind: str, kept: float) -> None:
    path = tmp_path / kind
    if kind == "w.safetensors":
        save_file(_state(), path)
    else:
        torch.save(_state(), path, _use_new_zipfile_serialization=kind == "w.pth")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    network = _network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(NetworkError, match=rf"{kind} is damaged.*fetch it again") as caught:
        load_weights(network, path)
    assert "\n" not in str(caught.value)
    _assert_holds(network, before)


def test_a_file_of_the_old_format_is_named_wherever_it_ends_or_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save(_state(), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for place in range(0, min(len(content), 1200), 7):
        for damaged in (content[:place], content[:place] + b"\xff\x00" + content[place + 2 :]):
            path.write_bytes(damaged)
            # Some damage shows in no tensor's name or shape; whatever does show is a NetworkError.
            with contextlib.suppress(NetworkError):
                read_state_dict(path)


def test_tensors_without_names_are_refused(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(1)}, tmp_path / "numbers.pth")
    with pytest.raises(NetworkError, match=r"under other things than names \(0\); give a state dict"):
        read_state_dict(tmp_path / "numbers.pth")


def test_missing_unknown_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"no weight file .*none\.pth"):
        load_weights(_network(), tmp_path / "none.pth")
    (tmp_path / "w.onnx").touch()
    with pytest.raises(NetworkError, match=r"unknown kind '\.onnx'"):
        load_weights(_network(), tmp_path / "w.onnx")
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(NetworkError, match="no named tensors"):
        load_weights(_network(), tmp_path / "empty.pth")
    torch.save({"a": torch.zeros(1), "lr": 0.1}, tmp_path / "mixed.pth")
    with pytest.raises(NetworkError, match=r"other things than tensors \(lr\)"):
        load_weights(_network(), tmp_path / "mixed.pth")


def test_another_networks_weights_leave_this_one_as_it_was(tmp_path: Path) -> None:
    state = _state()
    state["2.weight"] = torch.zeros(5, 4)
    del state["0.bias"]
    state["head.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    network = _network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(NetworkError) as caught:
        load_weights(network, tmp_path / "w.pth")
    said = str(caught.value)
    assert "1 missing (0.bias)" in said
    assert "1 not in the network (head.weight)" in said
    assert "1 of another shape (2.weight (5, 4) for (2, 4))" in said
    _assert_holds(network, before)


def test_many_differing_keys_are_counted_and_the_first_named(tmp_path: Path) -> None:
    torch.save({f"k{i}": torch.zeros(1) for i in range(9)}, tmp_path / "w.pth")
    with pytest.raises(NetworkError, match=r"9 not in the network \(k0, k1, k2, \.\.\.\)"):
        load_weights(_network(), tmp_path / "w.pth")
