"""An int8 teacher on the CPU: post-training static quantisation, its agreement with the float32 teacher measured.

Weights per channel, activations per tensor, both with constants found on training views (Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"); torchao's PT2E flow
rewrites the exported graph for oneDNN's x86 kernels. ResNet101, 32 pixels, batch 64, two quiet cores with AVX-512
VNNI: 0.21 s against 0.47 s for the folded bf16 teacher.
"""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.util
import platform
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError, first_line
from densedistill.distill.fast.agreement import deviation
from densedistill.distill.outputs import Prediction

_X86 = ("x86_64", "amd64")


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8Agreement:
    """How the int8 teacher's answers compare with the float32 teacher's on images it was not calibrated on."""

    images: int
    max_relative_error: float
    """Largest absolute difference over the float32 teacher's largest absolute value."""
    deviation: float
    """Root mean square difference over the standard deviation (`agreement.deviation`)."""
    top1: float | None
    """Share of images with the same first class, in percent; None where outputs are not (B, K)."""


class Int8Teacher:
    """Answers like a `PreparedTeacher` without taps, in batches of the size it was exported for."""

    def __init__(self, graph: nn.Module, shape: Sequence[int], agreement: Int8Agreement) -> None:
        self._graph, self._shape = graph, tuple(shape)
        self.agreement = agreement

    def __call__(self, images_BCHW: Tensor) -> Prediction:
        """Output in float32, an inference tensor.

        Raises:
            RequestError: images of another size than those it was calibrated on.
        """
        if images_BCHW.shape[1:] != self._shape[1:]:
            raise RequestError(
                f"the int8 teacher was calibrated on images of {_size(self._shape)} and got {_size(images_BCHW.shape)}:"
                " turn speed.int8_teacher off where sizes vary."
            )
        return Prediction(output=_answer(self._graph, images_BCHW, self._shape[0]), taps={})


def quantise_teacher(
    network: nn.Module,
    calibration: Sequence[Tensor],
    held: Sequence[Tensor],
    *,
    device: torch.device,
    taps: Sequence[str] = (),
) -> Int8Teacher:
    """Quantise a copy of `network` and measure it.

    Args:
        network: float32.
        calibration: batches of training views, (B, C, H, W) float32, all of one shape; a few hundred images are enough.
        held: batches of other views, of the same image size, on which agreement is measured.
        device: the run's.
        taps: module paths that a loss reads; there must be none.

    Raises:
        RequestError: taps, another device than an x86 CPU, the extra `int8` is not installed or does not fit PyTorch,
            or the network has operations that cannot be exported, or none that can be quantised.
    """
    require_possible(device, taps)
    plain = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    calibration = [images.contiguous(memory_format=torch.channels_last) for images in calibration]
    try:
        graph = _quantised(plain, calibration)
    except torch.OutOfMemoryError:
        raise
    except ImportError as error:
        raise RequestError(
            f"an int8 teacher needs a torchao that fits PyTorch {torch.__version__}, and {_torchao()} does not "
            f"({first_line(error)}): install one of the same time, or turn speed.int8_teacher off."
        ) from error
    except Exception as error:  # exporting, annotating and lowering raise whatever they meet first
        raise RequestError(
            f"the teacher ({type(network).__name__}) cannot be quantised to int8: {first_line(error)}. Turn "
            "speed.int8_teacher off."
        ) from error
    if not any("onednn.q" in str(node.target) for node in graph.graph.nodes):
        # A torchao and a PyTorch that do not know each other's patterns leave the network in float32, and say nothing.
        raise RequestError(
            f"the teacher ({type(network).__name__}) cannot be quantised to int8: {_torchao()} found nothing in it to "
            f"quantise with PyTorch {torch.__version__}, which it may not fit. Turn speed.int8_teacher off."
        )
    shape = calibration[0].shape
    return Int8Teacher(graph, shape, _agreement(plain, graph, held, shape[0]))


def require_possible(device: torch.device, taps: Sequence[str]) -> None:
    """Refuse what no int8 teacher can do: `quantise_teacher` asks this first, and a run before it trains anything.

    Raises:
        RequestError: taps, another device than an x86 CPU, or the extra `int8` is not installed.
    """
    if taps:
        raise RequestError(
            f"an int8 teacher has no features to tap ({', '.join(taps)}): its layers are fused. Turn "
            "speed.int8_teacher off, or choose a method that reads outputs only."
        )
    if device.type != "cpu" or platform.machine().lower() not in _X86:
        where = device.type if device.type != "cpu" else platform.machine()
        raise RequestError(f"an int8 teacher needs an x86 CPU; this run is on {where}: turn speed.int8_teacher off.")
    if importlib.util.find_spec("torchao") is None:
        raise RequestError(
            "an int8 teacher needs torchao, which is not installed: run pip install 'densedistill[int8]', or turn "
            "speed.int8_teacher off."
        )


def _torchao() -> str:
    return f"torchao {importlib.metadata.version('torchao')}"


@torch.no_grad()
def _quantised(plain: nn.Module, calibration: Sequence[Tensor]) -> torch.fx.GraphModule:
    # Importing torchao takes seconds: only who asks for int8 waits.
    from torchao.quantization.pt2e.lowering import lower_pt2e_quantized_to_x86
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    example = (calibration[0],)
    quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config())
    observed = prepare_pt2e(torch.export.export(plain, example).module(), quantizer)
    for images in calibration:
        observed(images)
    lowered: torch.fx.GraphModule = lower_pt2e_quantized_to_x86(convert_pt2e(observed), example)
    return lowered


def _answer(graph: nn.Module, images_BCHW: Tensor, size: int) -> Tensor:
    """Ask in batches of exactly `size`, the only one the graph accepts; a smaller last one is filled up."""
    answers = []
    with torch.inference_mode():
        for part in torch.split(images_BCHW.contiguous(memory_format=torch.channels_last), size):
            full = part if len(part) == size else part[torch.arange(size) % len(part)]
            answers.append(graph(full)[: len(part)].float())
        return answers[0] if len(answers) == 1 else torch.cat(answers)


def _agreement(plain: nn.Module, graph: nn.Module, held: Sequence[Tensor], size: int) -> Int8Agreement:
    with torch.inference_mode():
        expected = torch.cat([plain(images) for images in held])
    found = torch.cat([_answer(graph, images, size) for images in held])
    top1 = (found.argmax(1) == expected.argmax(1)).float().mean().item() * 100 if expected.ndim == 2 else None
    return Int8Agreement(
        images=len(expected),
        max_relative_error=float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12)),
        deviation=deviation(found, expected),
        top1=top1,
    )


def _size(shape: Sequence[int]) -> str:
    return "x".join(str(length) for length in shape[1:])
