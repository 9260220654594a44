"""Where and how a run computes: device, precision, processes. Accelerate does the work."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import distributed, nn

from densedistill.distill.errors import RequestError

if TYPE_CHECKING:
    from accelerate import Accelerator

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Module = TypeVar("Module", bound=nn.Module)


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 natively (AVX-512 BF16, AMX or Arm BF16) and does not emulate it."""
    if not hasattr(torch.cpu, "get_capabilities"):  # before PyTorch 2.10
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolve_device(name: str) -> torch.device:
    """The device that `name` (`auto`, `cpu`, `cuda`, `cuda:1`, `mps`) means here.

    On a GPU, float32 is float32 from then on: see `round_convolutions`.

    Raises:
        RequestError: it is not there, or is no device name; a numbered GPU under `torchrun`.
    """
    device = _device("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else _device(name)
    if device.type == "cuda":
        round_convolutions(to_tf32=False)
    return device


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise RequestError(f"device '{name}' is not one that trains here: give auto, cpu, cuda, cuda:N or mps.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RequestError(
            f"device '{name}' is not there: PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices; "
            "give --device cpu, or install a build of PyTorch and a driver for your GPU."
        )
    if device.type == "cuda" and device.index is not None and _world_size() > 1:
        raise RequestError(
            f"device '{name}' is one GPU, and torchrun has started {_world_size()} processes: give cuda, and each "
            "takes its own."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise RequestError("device 'mps' is not there: PyTorch sees no Apple GPU; give --device cpu.")
    return device


def round_convolutions(*, to_tf32: bool) -> None:
    """Whether cuDNN may round the factors of float32 convolutions to TF32's 10 bits of mantissa, as it does unasked.

    At 10 bits no figure is float32's, and no teacher's shortcut stays within the bounds of its check.
    """
    with warnings.catch_warnings():
        # This setting has a successor; once that one is used, whoever reads this one is refused (pytorch #179445).
        warnings.simplefilter("ignore")
        torch.backends.cudnn.allow_tf32 = to_tf32


def resolve_precision(precision: Precision, device: torch.device) -> Literal["fp32", "bf16", "fp16"]:
    """`auto` is bf16 where the device computes in it natively, fp32 elsewhere.

    Raises:
        RequestError: fp16 on a CPU.
    """
    if precision == "auto":
        native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else cpu_has_bf16()
        return "bf16" if native and device.type != "mps" else "fp32"
    if precision == "fp16" and device.type == "cpu":
        raise RequestError("precision 'fp16' needs a GPU for its gradient scaling: give bf16, fp32 or auto on a CPU.")
    return precision


@dataclass(frozen=True, slots=True)
class Runtime:
    """Accelerate's handle with the choices that were made."""

    accelerator: Accelerator
    device: torch.device
    precision: Literal["fp32", "bf16", "fp16"]
    scaler_start: Mapping[str, Any] | None = None
    """fp16's gradient scaler as it was before any step. Accelerate has one for all arms: each starts it anew."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return bool(self.accelerator.is_main_process)

    @property
    def rank(self) -> int:
        """This process's number."""
        return int(self.accelerator.process_index)

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return int(self.accelerator.num_processes)

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision for a forward pass, as the run has it."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)

    def environment(self) -> dict[str, object]:
        """What a reader needs to repeat a figure: versions, device, precision, threads, processes."""
        return {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type,
            "processor": processor_name(),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "processes": self.processes,
        }


def processor_name() -> str:
    """The processor's model name, or its architecture where the system does not say."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def place(module: Module, device: torch.device, *, channels_last: bool) -> Module:
    """`module` on `device`, its weights laid out channel by channel where that is wanted."""
    if channels_last:
        return module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    return module.to(device=device)


def synchronise(device: torch.device) -> None:
    """Wait until `device` has done what it was given: a clock read before that tells nothing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _world_size() -> int:
    """How many processes `torchrun` started; known before and after they have joined."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process speaks for all that `torchrun` started; known before and after they have joined."""
    return int(os.environ.get("RANK", "0")) == 0


def start_runtime(device: str, precision: Precision) -> Runtime:
    """Start Accelerate for this process; under `torchrun` it joins the others.

    Raises:
        RequestError: the device or the precision is not to be had here.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from densedistill.distill.machine.data_parallel import OwnBuffers

    resolved = resolve_device(device)
    if resolved.type == "cuda" and resolved.index is not None:
        torch.cuda.set_device(resolved)  # before the first question about a GPU: it is about the current one
    chosen = resolve_precision(precision, resolved)
    # Accelerate keeps one state for a process: it refuses a second precision and keeps the first device, unasked.
    # A second run may well have others; only processes that have joined stay as they are.
    AcceleratorState._reset_state(reset_partial_state=not distributed.is_initialized())
    accelerator = Accelerator(cpu=resolved.type == "cpu", mixed_precision={"fp32": "no"}.get(chosen, chosen))
    accelerator.ddp_handler = OwnBuffers()
    expected = _world_size()
    if accelerator.num_processes != expected:
        print(
            f"densedistill: WORLD_SIZE is {expected}, but Accelerate joined {accelerator.num_processes} processes",
            file=sys.stderr,
        )
    scaler = accelerator.scaler
    return Runtime(
        accelerator=accelerator,
        device=resolved if resolved.index else accelerator.device,
        precision=chosen,
        scaler_start=None if scaler is None else dict(scaler.state_dict()),
    )
