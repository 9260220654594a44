"""What a teacher cache will hold, and how many bytes that takes, known before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from densedistill.distill import wording
from densedistill.distill.cache.tensors import KeptTensor, LargestLogits, Whole
from densedistill.distill.errors import RequestError
from densedistill.distill.outputs import Prediction

KEEP_ALL_CLASSES = 256
"""Most classes whose logits are all kept. The 64 largest take 260 bytes of a view: half of what 256 logits take."""

CLASSES_KEPT = 64
"""Logits kept of more classes than that."""

CHECKSUM_BYTES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class CachePlan:
    """The answers that a cache has room for: one for each (image, view)."""

    images: int
    cycle: int
    """Views of each image."""
    output: KeptTensor
    taps: Mapping[str, KeptTensor]

    @property
    def slots(self) -> int:
        """How many answers."""
        return self.images * self.cycle

    @property
    def tensors(self) -> tuple[KeptTensor, ...]:
        """The output, then the taps."""
        return (self.output, *self.taps.values())

    @property
    def bytes_per_view(self) -> int:
        """Of one answer, with its checksum."""
        return CHECKSUM_BYTES + sum(column.bytes for tensor in self.tensors for column in tensor.columns)

    @property
    def bytes(self) -> int:
        """Of all answers: exact, but for the few hundred bytes of the key."""
        return self.slots * self.bytes_per_view

    def describe(self) -> str:
        """For a message: what is kept, and its size."""
        kept = [f"output {self.output.words()}", *(f"tap '{path}' {tap.words()}" for path, tap in self.taps.items())]
        views = "1 view" if self.cycle == 1 else f"{self.cycle} views"
        each = wording.size(self.bytes_per_view)
        return f"{wording.size(self.bytes)} for {views} of {self.images:,} images, {each} each ({'; '.join(kept)})"

    def layout(self) -> dict[str, object]:
        """What must be equal for kept answers to be readable, as JSON has it."""
        return {
            "images": self.images,
            "cycle": self.cycle,
            "output": self.output.layout(),
            "taps": {path: tap.layout() for path, tap in self.taps.items()},
        }


def plan_cache(
    example: Prediction, images: int, cycle: int, classes_kept: int | None = None, temperature: float = 1.0
) -> CachePlan:
    """Plan a cache for answers such as `example`.

    Args:
        example: the teacher's answer to any batch; its shapes and types are those of every later one.
        images: in the training set.
        cycle: views of each image.
        classes_kept: logits to keep of each output (B, K); K or more keeps all. None: all of up to
            `KEEP_ALL_CLASSES`, `CLASSES_KEPT` of more. Other outputs and taps are kept whole.
        temperature: at which the mass of the logits that are not kept is exact; see `LargestLogits`.

    Raises:
        RequestError: a number is out of range, or a tensor is not floating-point values of one batch.
    """
    for name, count in (("images", images), ("teacher_cache (views)", cycle), ("classes_kept", classes_kept)):
        if count is not None and count < 1:
            raise RequestError(f"{name} {count} leaves the teacher cache nothing to keep: give 1 or more.")
    if not temperature > 0:
        raise RequestError(f"temperature {temperature} of the teacher cache is not above 0: give the loss's, or 1.")
    batch = example.output.shape[:1].numel()
    for name, tensor in {"the output": example.output, **{f"tap '{p}'": t for p, t in example.taps.items()}}.items():
        if not tensor.is_floating_point() or tensor.numel() == 0 or tensor.shape[:1] != (batch,):
            raise RequestError(
                f"{name} of the teacher is {tuple(tensor.shape)} of {tensor.dtype}, which is not one floating-point "
                f"tensor for each of the {batch} images of a batch and cannot be cached: leave it out, or run without "
                "a teacher cache."
            )
    return CachePlan(
        images=images,
        cycle=cycle,
        output=_output(example.output, classes_kept, temperature),
        taps={path: _whole(tap) for path, tap in example.taps.items()},
    )


def _output(output: Tensor, classes_kept: int | None, temperature: float) -> KeptTensor:
    if output.dim() != 2:
        return _whole(output)
    classes = output.shape[1]
    if classes_kept is None:
        classes_kept = CLASSES_KEPT if classes > KEEP_ALL_CLASSES else classes
    if classes_kept >= classes:
        return _whole(output)
    return LargestLogits(classes=classes, kept=classes_kept, temperature=temperature, dtype=output.dtype)


def _whole(tensor: Tensor) -> Whole:
    return Whole(shape=tuple(tensor.shape[1:]), dtype=tensor.dtype)
