"""Knowing before the first step whether a batch fits in memory."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from densedistill.distill import wording
from densedistill.distill.errors import RequestError

PROBE_IMAGES = 6
"""Images in the probe, which takes half of them and then all. Fewer would be too few: batch-norm on 1x1 maps refuses to
train on one image, and a loss on the angles between images on two."""


FEWEST_IMAGES = 2
"""Fewest images in one forward pass of training."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes that training needs on the device."""

    fixed: int
    """Weights, gradients, the optimiser's state, and what a step keeps whatever the batch (weights cast to bf16)."""
    per_image: int
    """What autograd keeps of each image for the backward pass."""

    def total(self, batch_size: int) -> int:
        """Bytes for one step at `batch_size`."""
        return self.fixed + self.per_image * batch_size

    def beside(self, other: MemoryEstimate) -> MemoryEstimate:
        """Both arms in one lesson: they keep their weights at the same time and take their steps in turn."""
        return MemoryEstimate(self.fixed + other.fixed, max(self.per_image, other.per_image))


class SavedBytes:
    """Context manager that adds up what autograd keeps inside it; each storage counts once."""

    def __init__(self, ignored: set[int]) -> None:
        self.bytes = 0
        self._seen = set(ignored)
        self._kept: list[Tensor] = []
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self._kept.append(tensor)  # keeps the address from being given to another tensor while we count
            self.bytes += storage.nbytes()
        return tensor

    def __enter__(self) -> SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)


def storages(module: nn.Module) -> set[int]:
    """Addresses of a module's own tensors: autograd keeps references to them, not copies."""
    owned = (*module.parameters(), *module.buffers())
    return {tensor.untyped_storage().data_ptr() for tensor in owned}


def fixed_bytes(module: nn.Module, optimizer: str) -> int:
    """Weights, gradients and optimiser state of `module`: 3 copies for SGD with momentum, 4 for Adam."""
    copies = 3 if optimizer == "sgd" else 4
    weights = sum(value.numel() * value.element_size() for value in module.parameters() if value.requires_grad)
    return weights * copies


def available_bytes(device: torch.device) -> int:
    """Free memory on `device`, within the container's limit; what PyTorch holds of a GPU without using it is free."""
    if device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + idle
    return min(int(psutil.virtual_memory().available), container_bytes())


def container_bytes(root: Path = Path("/sys/fs/cgroup")) -> int:
    """What a container's limit leaves, by cgroups of version 2 or 1 below `root`; a very large number without one.

    Cached files count as used there, and are given up before anything is refused.
    """
    version_2 = (root / "memory.max", root / "memory.current", root / "memory.stat", "inactive_file")
    old = root / "memory"
    version_1 = (
        old / "memory.limit_in_bytes",
        old / "memory.usage_in_bytes",
        old / "memory.stat",
        "total_inactive_file",
    )
    for limit, used, details, cached in (version_2, version_1):
        try:
            bound, taken = int(limit.read_text()), int(used.read_text())
            given_up = dict(line.split(maxsplit=1) for line in details.read_text().splitlines() if line)
        except (OSError, ValueError):
            # No such file, or `max`: this version sets no limit.
            continue
        return max(bound - taken + int(given_up.get(cached, 0)), 0)
    return sys.maxsize


def fitting_images(estimate: MemoryEstimate, batch_size: int, device: torch.device, arm: str) -> int:
    """How many images of a batch fit in memory at once, at most `batch_size`.

    Raises:
        RequestError: not even `FEWEST_IMAGES`; with the estimate and what is free.
    """
    free = available_bytes(device)
    fitting = min(int(max(free - estimate.fixed, 0) // max(estimate.per_image, 1)), batch_size)
    if fitting >= min(FEWEST_IMAGES, batch_size):
        return fitting
    raise RequestError(
        f"arm {arm} is estimated to need {wording.gibibytes(estimate.total(FEWEST_IMAGES))} for {FEWEST_IMAGES} "
        f"images, but {wording.gibibytes(free)} are free on {device.type}: give a smaller network."
    )


def require_memory(estimate: MemoryEstimate, batch_size: int, device: torch.device, arm: str) -> None:
    """Refuse a batch that will not fit.

    Raises:
        RequestError: with the estimate, what is free, and the largest batch that would fit.
    """
    fitting = fitting_images(estimate, batch_size, device, arm)
    if fitting == batch_size:
        return
    raise RequestError(
        f"batch size {batch_size} is estimated to need {wording.gibibytes(estimate.total(batch_size))} for arm {arm}, "
        f"but {wording.gibibytes(available_bytes(device))} are free on {device.type}: give --batch-size {fitting} or "
        f"less, or --set speed.micro_batch={fitting} to take the batch in parts (batch-norm then measures each part)."
    )


def reset_peak(device: torch.device) -> None:
    """Start measuring peak memory anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123 (no seek on a proc file)
            file.write("5")
    except OSError:
        return


def peak_megabytes(device: torch.device) -> float:
    """Peak memory since `reset_peak`: of the GPU's allocator, or this process's resident set."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    try:
        with open("/proc/self/status") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("VmHWM:"):
                    return float(line.split()[1]) / 1024
    except OSError:
        pass
    return float(psutil.Process().memory_info().rss) / 2**20
