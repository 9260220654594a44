"""How one tensor of a teacher's answer is kept on disk: whole in half precision, or as its largest logits.

Shape suffixes: B batch, K classes, k classes kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class Column(NamedTuple):
    """One file's share of a kept answer."""

    name: str
    dtype: type[np.generic]
    shape: tuple[int, ...]
    """Of one answer."""

    @property
    def bytes(self) -> int:
        """Of one answer."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class Encoded(NamedTuple):
    """Answers as they are kept."""

    columns: list[np.ndarray]
    """(B, *shape) for each column."""
    fits: np.ndarray
    """(B,) bool: False where a value is not finite or beyond float16's largest, 65504."""


class KeptTensor(Protocol):
    """A way to keep one tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one answer, as the teacher gives it."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """What is stored for each answer."""

    def encode(self, tensor: Tensor) -> Encoded:
        """(B, *shape) on any device, as it is kept."""

    def decode(self, columns: Sequence[np.ndarray], device: torch.device) -> Tensor:
        """(B, *shape) on `device`, contiguous, as it comes back from what was kept."""

    def layout(self) -> dict[str, object]:
        """What must be equal for kept answers to be readable, as JSON has it."""

    def words(self) -> str:
        """For a message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """Every value, in float16: a relative error of at most 2^-11 for values of 6e-5 and more."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    """What it is given back as."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """One."""
        return (Column("values", np.float16, self.shape),)

    def encode(self, tensor: Tensor) -> Encoded:
        """(B, *shape) in float16."""
        half = tensor.detach().to(torch.float16)
        return Encoded([_array(half)], _array(_finite_rows(half)))

    def decode(self, columns: Sequence[np.ndarray], device: torch.device) -> Tensor:
        """(B, *shape)."""
        return torch.from_numpy(columns[0]).to(device).to(self.dtype)

    def layout(self) -> dict[str, object]:
        """Shape and type."""
        return {"shape": list(self.shape), "dtype": str(self.dtype)}

    def words(self) -> str:
        """For a message."""
        return f"{' x '.join(map(str, self.shape)) or 'one'} in float16"


@dataclass(frozen=True, kw_only=True, slots=True)
class LargestLogits:
    """The k largest of K logits z, and the mass of the rest as one number.

    Kept are the k largest in float16, their classes, and r = T log sum exp(z_rest / T) in float32, where T is
    `temperature`. The rest come back as K - k equal logits r - T log(K - k), so that softmax(z / T) has, up to
    rounding, its k largest probabilities and the sum of the others; how that sum is spread over the others is lost.
    No restored logit is above the smallest kept one.

    At another temperature T' the sum of the rest is no longer exact. By Jensen's inequality it comes back too large for
    T' > T (the teacher seems softer) and too small for T' < T. Of 1000 normal logits of standard deviation 2, 64 kept
    at T = 1, the rest have 0.33 of the mass at T = 1; they come back with 0.75 in place of 0.70 at T' = 2, and with
    0.87 in place of 0.85 at T' = 4. So give the temperature that the loss uses.
    """

    classes: int
    kept: int
    """In [1, classes - 1]."""
    temperature: float
    """Dimensionless, above 0."""
    dtype: torch.dtype
    """What the logits are given back as."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(K,)."""
        return (self.classes,)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The largest, their places, and the rest's mass."""
        place = np.uint16 if self.classes <= 2**16 else np.int32
        return (
            Column("values", np.float16, (self.kept,)),
            Column("places", place, (self.kept,)),
            Column("rest", np.float32, ()),
        )

    def encode(self, tensor: Tensor) -> Encoded:
        """(B, k) logits in descending order, (B, k) classes and (B,) masses of the rest."""
        logits_BK = tensor.detach().float()
        top_Bk, places_Bk = logits_BK.topk(self.kept, dim=1)
        others = logits_BK.scatter(1, places_Bk, -math.inf)
        rest_B = self.temperature * (others / self.temperature).logsumexp(dim=1)
        half_Bk = top_Bk.half()
        columns = [_array(half_Bk), _array(places_Bk).astype(self.columns[1].dtype), _array(rest_B)]
        return Encoded(columns, _array(_finite_rows(half_Bk) & rest_B.isfinite()))

    def decode(self, columns: Sequence[np.ndarray], device: torch.device) -> Tensor:
        """(B, K)."""
        values, places, rest = columns
        each_B1 = torch.from_numpy(rest).to(device)[:, None] - self.temperature * math.log(self.classes - self.kept)
        classes_Bk = torch.from_numpy(places.astype(np.int64)).to(device)
        logits_BK = each_B1.expand(-1, self.classes).scatter(1, classes_Bk, torch.from_numpy(values).to(device).float())
        return logits_BK.to(self.dtype)

    def layout(self) -> dict[str, object]:
        """Counts, temperature and type."""
        return {
            "classes": self.classes,
            "classes_kept": self.kept,
            "temperature": self.temperature,
            "dtype": str(self.dtype),
        }

    def words(self) -> str:
        """For a message."""
        return f"the {self.kept} largest of {self.classes} logits in float16 and the mass of the rest"


def _finite_rows(tensor: Tensor) -> Tensor:
    """(B,) bool."""
    return tensor.isfinite().reshape(len(tensor), -1).all(dim=1)


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.cpu().contiguous().numpy()
    return array
