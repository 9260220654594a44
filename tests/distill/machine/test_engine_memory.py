"""The memory estimate against what can be counted by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from densedistill.distill.errors import RequestError
from densedistill.distill.machine import memory
from densedistill.distill.machine.memory import (
    MemoryEstimate,
    SavedBytes,
    container_bytes,
    fitting_images,
    fixed_bytes,
    require_memory,
    storages,
)
from densedistill.distill.probe import estimate_memory, sample_batch

GIB = 2**30


def test_saved_bytes_of_a_hand_counted_net() -> None:
    """conv keeps its input, ReLU its output, the square of the mean its input: 3 + 5 + 5 planes."""
    conv = nn.Conv2d(3, 5, 3, padding=1)
    images = torch.rand(2, 3, 8, 8)
    with SavedBytes(ignored=storages(conv)) as saved:
        loss = torch.relu(conv(images)).square().mean()
    assert loss.requires_grad
    # ReLU's output is the square's input: one storage, kept once.
    assert saved.bytes == 4 * 2 * 64 * (3 + 5)


def test_fixed_bytes_count_weights_gradients_and_state() -> None:
    layer = nn.Linear(10, 10)
    layer.bias.requires_grad_(False)
    assert fixed_bytes(layer, "sgd") == 100 * 4 * 3
    assert fixed_bytes(layer, "adam") == 100 * 4 * 4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_estimate_grows_with_the_batch_and_not_with_the_weights(
    tiny: ModuleType, tmp_path: Path, precision: str
) -> None:
    """The estimate from a few images against the bytes that autograd keeps of a whole batch."""
    wide = {"networks.0.arguments.width": 64}
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, wide, precision=precision)
    arm = chain.assemble(chain.plans[0]).arm
    estimate = estimate_memory(arm, sample_batch(chain.data, memory.PROBE_IMAGES, chain.runtime), chain.runtime)
    batch = sample_batch(chain.data, 40, chain.runtime)
    with SavedBytes(ignored=storages(arm.network)) as saved, chain.runtime.autocast():
        loss = nn.functional.cross_entropy(arm.network(batch["input"]).float(), batch["target"])
    assert loss.requires_grad
    kept = estimate.total(40) - fixed_bytes(arm.network, arm.recipe.optimizer)
    assert 0.9 * saved.bytes <= kept <= 1.1 * saved.bytes


def test_probing_leaves_the_network_as_it_was(tiny: ModuleType, tmp_path: Path) -> None:
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path)
    arm = chain.assemble(chain.plans[0]).arm
    before = {name: value.clone() for name, value in arm.network.state_dict().items()}
    estimate_memory(arm, sample_batch(chain.data, memory.PROBE_IMAGES, chain.runtime), chain.runtime)
    assert all(torch.equal(value, before[name]) for name, value in arm.network.state_dict().items())


def test_as_many_images_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _device: 4 * GIB)
    estimate = MemoryEstimate(fixed=GIB, per_image=GIB // 10)
    assert fitting_images(estimate, 30, torch.device("cpu"), "gen_01") == 30
    assert fitting_images(estimate, 31, torch.device("cpu"), "gen_01") == 30
    assert fitting_images(estimate, 1000, torch.device("cpu"), "gen_01") == 30


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _device: 4 * GIB)
    estimate = MemoryEstimate(fixed=GIB, per_image=GIB // 10)
    require_memory(estimate, 30, torch.device("cpu"), "gen_01")
    with pytest.raises(RequestError, match=r"batch size 31 .* 4\.1 GiB for arm gen_01.* 4\.0 GiB .*--batch-size 30 or"):
        require_memory(estimate, 31, torch.device("cpu"), "gen_01")


def test_a_network_that_does_not_fit_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _device: GIB)
    estimate = MemoryEstimate(fixed=GIB, per_image=GIB // 10)
    with pytest.raises(
        RequestError, match=r"gen_02 .* 1\.2 GiB for 2 images, but 1\.0 GiB are free on cpu: give a smaller"
    ):
        fitting_images(estimate, 8, torch.device("cpu"), "gen_02")


def test_arms_side_by_side_keep_their_weights_together_and_step_in_turn() -> None:
    both = MemoryEstimate(fixed=3, per_image=10).beside(MemoryEstimate(fixed=4, per_image=7))
    assert both.total(2) == 3 + 4 + 2 * 10


def test_a_container_leaves_what_its_limit_says(tmp_path: Path) -> None:
    assert container_bytes(tmp_path) == sys.maxsize
    old = tmp_path / "memory"
    old.mkdir()
    for name, content in {"limit_in_bytes": "1000", "usage_in_bytes": "700"}.items():
        (old / f"memory.{name}").write_text(content)
    (old / "memory.stat").write_text("cache 5\ntotal_inactive_file 100\n")
    assert container_bytes(tmp_path) == 400
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 50\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert container_bytes(tmp_path) == 400, "version 2 sets no limit"
    (tmp_path / "memory.max").write_text("2000\n")
    assert container_bytes(tmp_path) == 1150
    (tmp_path / "memory.current").write_text("3000\n")
    assert container_bytes(tmp_path) == 0
