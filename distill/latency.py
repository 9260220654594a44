"""How long a finished network takes for one image."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from densedistill.distill.machine.runtime import synchronise

WARM, MOST = 2, 30
BUDGET_SECONDS = 1.0
"""No further pass begins after this long: a network that is slower than that needs no warm-up to be measured."""


@torch.inference_mode()
def latency_ms(network: Callable[[Tensor], Tensor], image_1CHW: Tensor) -> float:
    """Median milliseconds of a forward pass on one image, a network input (1, C, H, W).

    On the image's device with the process's threads, as plain PyTorch in float32: what an exported network takes is
    measured where it is deployed. `network` is in evaluation mode.
    """
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < WARM + MOST and (not times or time.perf_counter() - begun < BUDGET_SECONDS):
        synchronise(image_1CHW.device)
        started = time.perf_counter()
        network(image_1CHW)
        synchronise(image_1CHW.device)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[WARM:] or times)
