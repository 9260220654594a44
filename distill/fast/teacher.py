"""The teacher prepared for answering only: folded, in half precision, channels last; checked against the plain one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from densedistill.distill.errors import first_line
from densedistill.distill.fast.agreement import deviations, excess
from densedistill.distill.fast.folding import fold_batch_norms
from densedistill.distill.fast.inference_forms import inference_forms, rewrite
from densedistill.distill.fast.prepared import Part, PreparedTeacher, Reference, half_precision
from densedistill.distill.features.taps import Tapped
from densedistill.distill.outputs import Prediction

CHECKED_IMAGES = 16
"""Images of the example on which the check runs: a plain float32 forward of a whole batch would be felt."""
FLOAT32_TOLERANCE = 1e-4
"""Folding and layout change nothing but the order of float32 sums: 1e-6 in 25 architectures with random statistics,
3e-4 in one (EfficientNetV2) whose own float32 answer is as far from float64's."""
HALF_FLOOR = {torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}
"""Two neighbouring numbers of the format: no answer in it can be told from its neighbour."""
HALF_FACTOR = 2.0
"""How much further from float32 than the plain network under autocast, in the run's own precision. Folding rounds
weights once more, and spares rounding after each norm: 0.0051 against 0.0039 in ResNet101."""

_WEIGHTS_THAT_AUTOCAST_CASTS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherOptions:
    """Shortcuts that may be taken."""

    fold_batch_norm: bool = True
    """Fold batch norms into the convolutions before them."""
    half_teacher: bool = True
    """Keep the weights that autocast would cast in every step in the run's half precision; nothing in fp32."""
    rewrite_teacher: bool = True
    """Put what modules offer as their `inference_form` in their place; nothing in fp32."""
    channels_last: bool = True
    """Images and weights in channels-last layout."""


def prepare_teacher(
    network: nn.Module,
    taps: Sequence[str],
    example: Tensor,
    options: TeacherOptions,
    device: torch.device,
    precision: Literal["fp32", "bf16", "fp16"],
    log_note: Callable[[str], None] = lambda _note: None,
) -> PreparedTeacher:
    """A copy of `network` for answering only, with as many of the shortcuts as are exact enough on `example`.

    The outputs and taps of the copy are compared with those of the plain network in float32. In fp32 they may deviate
    by `FLOAT32_TOLERANCE`; in half precision by `HALF_FACTOR` times what the plain network under autocast deviates, or
    by `HALF_FLOOR` where that is more. A shortcut that fails is left out, which `log_note` is told.

    Args:
        network: left as it is; float32.
        taps: module paths whose outputs are read.
        example: (B, C, H, W) float32, a batch as training will give it.
        options: which shortcuts may be taken.
        device: where the copy answers.
        precision: the run's.
        log_note: receives one sentence where something was left out.

    Raises:
        RequestError: a tap that the network does not have.
    """
    dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    plain = copy.deepcopy(network).eval().requires_grad_(False).to(device)
    reference = _reference(plain, taps, example.to(device), dtype)
    rewrites = options.rewrite_teacher and dtype is not None and bool(inference_forms(plain, taps, device, dtype))
    choices = list(_choices(options, half=dtype is not None, rewrites=rewrites))
    notes: list[str] = []
    faults: list[str] = []
    for parts in choices:
        attempt = _attempt(plain, taps, parts, dtype, reference)
        if attempt.fault is None:
            break
        faults.append(attempt.fault)
    if faults:
        lacking = " and ".join(part for part in choices[0] if part not in parts)
        notes.append(f"the teacher is used without {lacking}: {faults[0]}.")
        log_note(notes[0])
    return PreparedTeacher(
        attempt.module,
        taps=taps,
        parts=attempt.parts,
        deviations=attempt.shares,
        notes=notes,
        dtype=dtype,
        reference=reference,
    )


def _choices(options: TeacherOptions, half: bool, rewrites: bool) -> Iterator[tuple[Part, ...]]:
    """Sets of shortcuts from all to none; the ones that round most are given up first."""
    wanted: dict[Part, bool] = {
        "fold_batch_norm": options.fold_batch_norm,
        "rewrite_teacher": rewrites,
        "half_teacher": options.half_teacher and half,
        "channels_last": options.channels_last,
    }
    given_up: tuple[tuple[Part, ...], ...] = (
        (),
        ("rewrite_teacher",),
        ("rewrite_teacher", "half_teacher"),
        ("rewrite_teacher", "fold_batch_norm"),
        ("rewrite_teacher", "half_teacher", "fold_batch_norm"),
        ("rewrite_teacher", "half_teacher", "fold_batch_norm", "channels_last"),
    )
    choices = [tuple(part for part, on in wanted.items() if on and part not in without) for without in given_up]
    yield from dict.fromkeys(choices)


def _reference(plain: nn.Module, taps: Sequence[str], example: Tensor, dtype: torch.dtype | None) -> Reference:
    """The plain network's answer in float32, and how far from it an answer may be."""
    sample = example[:CHECKED_IMAGES]
    expected = _ask(plain, taps, sample, None)
    allowed = dict.fromkeys(deviations(expected, expected), FLOAT32_TOLERANCE)
    if dtype is not None:
        cast = deviations(_ask(plain, taps, sample, dtype), expected)
        # Where autocast itself overflows, nothing would be too far.
        finite = {name: share if math.isfinite(share) else 0.0 for name, share in cast.items()}
        allowed = {name: max(HALF_FLOOR[dtype], HALF_FACTOR * share) for name, share in finite.items()}
    return Reference(example=example, images=len(sample), expected=expected, allowed=allowed)


def _ask(network: nn.Module, taps: Sequence[str], images: Tensor, dtype: torch.dtype | None) -> Prediction:
    with torch.inference_mode(), Tapped(network, taps) as tapped, half_precision(images.device, dtype):
        answer = tapped(images)
    return replace(answer, output=answer.output.float())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    module: nn.Module
    parts: tuple[Part, ...] = ()
    """Those that changed something."""
    shares: Mapping[str, float] = field(default_factory=dict)
    fault: str | None = None


def _attempt(
    plain: nn.Module, taps: Sequence[str], parts: Sequence[Part], dtype: torch.dtype | None, reference: Reference
) -> _Attempt:
    """A copy with `parts`, and how it compares. Without parts nothing can be wrong: it is the plain teacher."""
    sample = reference.example[: reference.images]
    if not parts:
        return _Attempt(module=plain, shares=deviations(_ask(plain, taps, sample, dtype), reference.expected))
    module = copy.deepcopy(plain)
    try:
        taken = tuple(part for part in parts if _apply(part, module, taps, sample, dtype))
        shares = deviations(_ask(module, taps, sample, dtype), reference.expected)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        return _Attempt(module=module, fault=f"its forward pass fails ({first_line(error)})")
    return _Attempt(module=module, parts=taken, shares=shares, fault=excess(shares, reference.allowed))


def _apply(part: Part, module: nn.Module, taps: Sequence[str], sample: Tensor, dtype: torch.dtype | None) -> bool:
    """Whether there was anything to do."""
    if part == "fold_batch_norm":
        return fold_batch_norms(module, sample, keep=taps) > 0
    if part == "rewrite_teacher":
        return dtype is not None and rewrite(module, taps, sample.device, dtype) > 0
    if part == "half_teacher":
        return dtype is not None and _cast_weights(module, dtype) > 0
    module.to(memory_format=torch.channels_last)
    return True


def _cast_weights(module: nn.Module, dtype: torch.dtype) -> int:
    """Store in `dtype` what autocast would cast anyway; norms, tables and the image's own path stay as they are.

    Returns the number of tensors cast.
    """
    cast = 0
    for layer in module.modules():
        if isinstance(layer, _WEIGHTS_THAT_AUTOCAST_CASTS):
            for name, value in layer._parameters.items():
                if value is not None and value.dtype == torch.float32:
                    layer._parameters[name] = nn.Parameter(value.to(dtype), requires_grad=False)
                    cast += 1
    return cast
