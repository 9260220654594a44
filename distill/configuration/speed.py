"""Which shortcuts a run takes. Each can be switched off; together they are what `--exact` turns off."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from densedistill.distill.configuration.recipe import FROZEN


class Speed(BaseModel):
    """The fast path, part by part. What is on by default changes nothing beyond the rounding of the run's precision."""

    model_config = FROZEN

    fold_batch_norm: bool = True
    """Fold the teacher's batch-norm layers into its convolutions."""
    half_teacher: bool = True
    """Keep the teacher's weights in the run's half precision; without it autocast casts them in every step."""
    rewrite_teacher: bool = True
    """Put a faster form in the place of modules of a teacher in half precision that offer one (SwinIR's attention, in
    bf16 on a CPU)."""
    channels_last: bool = True
    """Lay images and weights out channel by channel, as the fast convolutions want them."""
    rewrite_depthwise: bool = True
    """Compute the input gradient of strided depthwise convolutions by another route where the library's is slow
    (bf16 on a CPU)."""
    fused_optimizer: bool = True
    """Update all parameters in one kernel."""
    keep_freed_memory: bool = True
    """Keep memory that a step frees for the next one (CPU, glibc); a process then holds its peak until it ends."""
    prefetch: int = Field(default=2, ge=0)
    """Batches made ahead in a thread while the step runs; 0: none."""
    compile: Literal["auto", "always", "never"] = "auto"
    """Compile teacher and student with torch.compile. `auto`: where the steps that are left repay it, as measured."""
    int8_teacher: bool = False
    """Quantise the teacher to 8-bit integers (CPU; extra `int8`). Its answers change; how far is measured."""
    micro_batch: Annotated[int, Field(ge=2)] | Literal["auto"] | None = None
    """Most images in one forward pass: the gradients of a batch's parts are added up, for when memory is short. `auto`:
    as many as fit. None: the whole batch, or a refusal. Not on by itself, since batch-norm then measures the parts."""


EXACT = Speed(
    fold_batch_norm=False,
    half_teacher=False,
    rewrite_teacher=False,
    channels_last=False,
    rewrite_depthwise=False,
    fused_optimizer=False,
    keep_freed_memory=False,
    prefetch=0,
    compile="never",
)
"""No shortcut at all; with `precision: fp32` the reference that the fast path is measured against."""
