"""A prepared teacher: how it is asked, and how it is compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from densedistill.distill.errors import first_line
from densedistill.distill.fast.agreement import deviations, excess
from densedistill.distill.fast.recompilation import allow_networks
from densedistill.distill.features.taps import Tapped
from densedistill.distill.outputs import Prediction

Part = Literal["fold_batch_norm", "rewrite_teacher", "half_teacher", "channels_last"]
Answer = tuple[Tensor, dict[str, Tensor]]
"""Output and taps: what a compiled graph can return."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """What a prepared teacher has to agree with."""

    example: Tensor
    """A batch, (B, C, H, W) float32."""
    images: int
    """So many of its first images were answered by the plain teacher."""
    expected: Prediction
    """The plain teacher's answer to them, in float32."""
    allowed: Mapping[str, float]
    """How far `agreement.deviations` may go, by name."""


def half_precision(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Autocast in `dtype`; None: float32, whatever surrounds the call."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


class _Asking:
    """The function that is compiled. It never changes: a graph is compiled anew when what it read has changed."""

    def __init__(self, module: nn.Module, taps: Sequence[str], dtype: torch.dtype | None, channels_last: bool) -> None:
        self.tapped = Tapped(module, taps)
        self.dtype, self.channels_last = dtype, channels_last

    def __call__(self, images_BCHW: Tensor) -> Answer:
        if self.channels_last:
            images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
        with half_precision(images_BCHW.device, self.dtype):
            answer = self.tapped(images_BCHW)
        return answer.output.float(), dict(answer.taps)


class PreparedTeacher:
    """A network that only answers: float32 images in, `Prediction` out (inference tensors, the output in float32).

    It casts and lays out its input itself and needs no autocast around it. `close` removes its taps.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        taps: Sequence[str],
        parts: Sequence[Part],
        deviations: Mapping[str, float],
        notes: Sequence[str],
        dtype: torch.dtype | None,
        reference: Reference,
    ) -> None:
        self.module = module
        self.taps = tuple(taps)
        self.parts: tuple[str, ...] = tuple(parts)
        """The shortcuts taken; `compiled` among them once `compile` has succeeded."""
        self.deviations = dict(deviations)
        """Of output and taps from the plain float32 teacher's: `agreement.deviation`."""
        self.notes = list(notes)
        """What was left out and why, a sentence each."""
        self._reference = reference
        self._asking = _Asking(module, taps, dtype, "channels_last" in parts)
        self._compiled: Callable[[Tensor], Answer] | None = None

    def __call__(self, images_BCHW: Tensor) -> Prediction:
        """The teacher's answer. A batch of another shape than the example's is answered without compilation."""
        if self._compiled is None or images_BCHW.shape != self._reference.example.shape:
            return _run(self._asking, images_BCHW)
        return _run(self._compiled, images_BCHW, replayed=images_BCHW.is_cuda)

    def compile(self, backend: str | Callable[..., object] = "inductor") -> str | None:
        """Compile for the example's shape and check again; returns None, or why the teacher stays as it was.

        On a CPU Inductor treats the weights as constants and lays them out for its kernels ("freezing"); on a GPU the
        kernels are replayed as CUDA graphs. Takes from seconds to a minute.
        """
        example = self._reference.example
        settings: dict[str, object] = {}
        if backend == "inductor":
            settings = {"mode": "reduce-overhead"} if example.is_cuda else {"options": {"freezing": True}}
        allow_networks()
        compiled = torch.compile(self._asking, dynamic=False, backend=backend, **settings)  # type: ignore[call-overload]
        try:
            shares = deviations(_run(compiled, example, replayed=example.is_cuda), self._reference.expected)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a compiler may raise, the teacher can do without it
            fault: str | None = f"compiling it failed ({first_line(error)})"
        else:
            fault = excess(shares, self._reference.allowed)
        if fault is None:
            self._compiled, self.deviations, self.parts = compiled, shares, (*self.parts, "compiled")
            return None
        self.notes.append(f"the teacher is not compiled: {fault}.")
        return self.notes[-1]

    def run_eagerly(self) -> None:
        """Go back to answering without compilation."""
        self._compiled = None
        self.parts = tuple(part for part in self.parts if part != "compiled")

    def close(self) -> None:
        """Remove the taps' hooks from the module."""
        self._asking.tapped.close()


def _run(answer: Callable[[Tensor], Answer], images_BCHW: Tensor, replayed: bool = False) -> Prediction:
    """Ask, always in inference mode: a graph compiled in another would be compiled anew."""
    with torch.inference_mode():
        if replayed:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        output, taps = answer(images_BCHW)
        if replayed:  # the next replay of the CUDA graph overwrites these
            output, taps = output.clone(), {path: feature.clone() for path, feature in taps.items()}
    return Prediction(output=output, taps=taps)
