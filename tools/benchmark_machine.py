"""What the machine can do: its matrix peak, measured, and the operations that a step asks of it, counted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from densedistill.tools.benchmark_workload import Workload

_COUNTED_IMAGES = 2
"""One would be too few for batch norms on 1x1 maps."""
_SIDE = {"cpu": 2048, "cuda": 8192, "mps": 4096}
"""Side of the square matrices: large enough for arithmetic to hide all else, small enough to take under a second."""
_REPEATS = 8


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call, work on the device included."""
    synchronise(device)
    started = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - started


def median_seconds(work: Callable[[], object], device: torch.device, *, calls: int = 5, warmup: int = 2) -> float:
    """Median seconds of a call, the first `warmup` not counted."""
    for _ in range(warmup):
        work()
    return statistics.median(seconds_of(work, device) for _ in range(calls))


def matrix_peak(device: torch.device) -> dict[str, float]:
    """TFLOP/s (10^12 multiplications and additions a second) of a square matrix product, by precision.

    The best of several calls: what the machine reaches undisturbed, and so a bound for every step.
    """
    side = _SIDE[device.type]
    found = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        # Random factors: a GPU draws less power for equal ones, and runs them at a clock that no step reaches.
        first, second, product = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(3))
        times = [seconds_of(lambda: torch.mm(first, second, out=product), device) for _ in range(_REPEATS)]  # noqa: B023
        found[name] = 2 * side**3 / min(times) / 1e12
    return found


def best_peak(*measured: Mapping[str, float]) -> dict[str, float]:
    """The highest figure of several measurements, by precision."""
    return {name: max(peaks[name] for peaks in measured) for name in measured[0]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operations:
    """Floating-point operations for one image: multiplications and additions of convolutions, products, attention."""

    teacher_forward: int
    student_step: int
    """Forward and backward."""

    def of_step(self, *, runs_teacher: bool) -> int:
        """Operations for one image of an optimiser step."""
        return self.student_step + (self.teacher_forward if runs_teacher else 0)


def count_operations(workload: Workload) -> Operations:
    """Counted by PyTorch on two images, in fp32 and eager: the work that is asked for, however it is then done."""
    pair = workload.pair()
    batch = workload.sample(_COUNTED_IMAGES)
    # Fused attention kernels are not all known to the counter; the plain one is made of products, which are.
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as taught, torch.no_grad():
            pair.teacher(batch.get("teacher_input", batch["input"]))
        with FlopCounterMode(display=False) as trained:
            output: Tensor = pair.student(batch["input"])
            output.sum().backward()  # type: ignore[no-untyped-call]
    return Operations(
        teacher_forward=taught.get_total_flops() // _COUNTED_IMAGES,
        student_step=trained.get_total_flops() // _COUNTED_IMAGES,
    )
