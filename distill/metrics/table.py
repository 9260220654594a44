"""What a metric remembers: a row of numbers for each image, kept on the device until somebody asks."""

from __future__ import annotations

import torch
from torch import Tensor

from densedistill.distill.errors import RequestError, RunFailedError


def sum_dtype(device: torch.device) -> torch.dtype:
    """float64 for sums over pixels, float32 on Apple's GPUs, which have no other."""
    return torch.float32 if device.type == "mps" else torch.float64


def check_same_shape(prediction: Tensor, target: Tensor) -> None:
    """Raise `RequestError` unless both tensors have one shape."""
    if prediction.shape != target.shape:
        raise RequestError(
            f"a prediction of shape {tuple(prediction.shape)} cannot be scored against a target of shape "
            f"{tuple(target.shape)}: give both the same size"
        )


class ImageTable:
    """Rows by image, in the order seen. Adding never waits for the device; reading does, once."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self._rows: list[Tensor] = []

    def add(self, *values: Tensor) -> None:
        """One (B,) tensor for each column."""
        self._rows.append(torch.stack([value.to(sum_dtype(value.device)) for value in values], dim=1))

    def read(self) -> dict[str, Tensor]:
        """Column name to (N,) float64 on the CPU.

        Raises:
            RequestError: no image was seen.
            RunFailedError: an image's numbers are not finite, since its prediction was not.
        """
        if not self._rows:
            raise RequestError("no image was scored: give a split that holds at least one")
        rows_NF = torch.cat([rows.cpu().double() for rows in self._rows])
        broken = (~rows_NF.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if broken:
            raise RunFailedError(
                f"the prediction for image {broken[0]} of {len(rows_NF)} is not finite ({len(broken)} such): "
                "the network has diverged, so lower the learning rate or train in fp32"
            )
        return dict(zip(self.columns, rows_NF.unbind(dim=1), strict=True))


def as_dicts(columns: dict[str, Tensor]) -> list[dict[str, float]]:
    """(N,) tensors by name as one dictionary for each image."""
    values = [column.tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
