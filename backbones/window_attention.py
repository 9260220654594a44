"""Shifted-window attention (Liu et al. 2021, Swin Transformer) on channels-last feature maps.

Submodule names are those of the Swin and SwinIR authors, so that published weights load.

Shape suffixes: B images, H and W pixels, C channels, N pixels of a window, K heads, M windows of an image.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from densedistill.backbones.unscaled_attention import UnscaledWindowAttention

_BLOCKED = -100.0
"""Added to a score to forbid it: the Swin authors' value, e^-100 of a share, and finite in half precision."""


def split_windows(map_BHWC: Tensor, window: int) -> Tensor:
    """(B, H, W, C) to (B*M, N, C), N = window²; H and W are multiples of `window`."""
    b, h, w, c = map_BHWC.shape
    grid = map_BHWC.reshape(b, h // window, window, w // window, window, c)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, c)


def join_windows(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """(B*M, N, C) to (B, H, W, C): the inverse of `split_windows`."""
    c = windows.shape[-1]
    grid = windows.reshape(-1, height // window, width // window, window, window, c)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, c)


def shift_mask(height: int, width: int, window: int, device: torch.device) -> Tensor:
    """What is added to the scores of a map rolled by half a window: (M, N, N), 0 or -100.

    The roll brings opposite borders of the image into one window; pixels of different origin must not attend to each
    other (Liu et al. 2021, figure 4).
    """

    def origin(size: int) -> Tensor:
        place = torch.arange(size, device=device)
        return (place >= size - window).long() + (place >= size - window // 2).long()

    regions_HW = origin(height)[:, None] * 3 + origin(width)[None, :]
    regions_MN = split_windows(regions_HW[None, :, :, None], window).squeeze(-1)
    foreign_MNN = regions_MN[:, None, :] != regions_MN[:, :, None]
    return torch.zeros(foreign_MNN.shape, device=device).masked_fill(foreign_MNN, _BLOCKED)


def relative_positions(window: int) -> Tensor:
    """For each pair of a window's pixels, the row of the bias table that belongs to their offset: (N, N) int64."""
    row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    rows, columns = row.flatten(), column.flatten()
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + right


class WindowAttention(nn.Module):
    """Multi-head self-attention within a window, with a learnt bias for each relative position.

    Shape: (B*M, N, C) to the same; `mask_MNN` is `shift_mask`'s, or None for windows that were not shifted.
    """

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, windows: Tensor, mask_MNN: Tensor | None) -> Tensor:
        """Attend; see the class for shapes."""
        n, c = windows.shape[1:]
        qkv = self.qkv(windows).reshape(-1, n, 3, self.heads, c // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (query * self.scale) @ key.transpose(-2, -1)
        bias_KNN = self._bias()
        if mask_MNN is None:
            scores = scores + bias_KNN
        else:
            by_window = scores.reshape(-1, mask_MNN.shape[0], self.heads, n, n)
            scores = (by_window + (bias_KNN + mask_MNN[:, None])).reshape(-1, self.heads, n, n)
        shares = scores.softmax(dim=-1).to(value.dtype)
        attended: Tensor = self.proj((shares @ value).transpose(1, 2).reshape(-1, n, c))
        return attended

    def inference_form(self, device: torch.device, dtype: torch.dtype) -> nn.Module | None:
        """What answers faster in its place on `device` under autocast in `dtype`; None: nothing known does."""
        if device.type != "cpu" or dtype != torch.bfloat16:
            return None
        return UnscaledWindowAttention(self.qkv, self.proj, self._bias(), dtype)

    def _bias(self) -> Tensor:
        """What is added to the scores of each head for each pair of pixels: (K, N, N)."""
        # Laid out as it is read: with the table's strides the addition takes longer than the matrix products.
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1).contiguous()


class Mlp(nn.Module):
    """Two linear layers with a GELU between, on the last dimension."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        transformed: Tensor = self.fc2(self.act(self.fc1(features)))
        return transformed


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): in training, drop the whole branch for an image with probability `rate`.

    Survivors are divided by 1 - rate. Shape: (B, ...) to the same.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Drop, or hand through in evaluation and at rate 0."""
        if self.rate == 0.0 or not self.training:
            return branch
        kept = 1.0 - self.rate
        survives = torch.empty(branch.shape[0], *[1] * (branch.dim() - 1), device=branch.device).bernoulli_(kept)
        return branch * (survives / kept).to(branch.dtype)

    def extra_repr(self) -> str:
        """The rate, for printing."""
        return f"rate={self.rate}"


class WindowBlock(nn.Module):
    """One transformer block: window attention and an MLP, each behind a LayerNorm and beside a skip.

    Shape: (B, H, W, C) to the same; H and W are multiples of the window.
    """

    def __init__(
        self, width: int, heads: int, window: int, mlp_ratio: float, *, shifted: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.window = window
        self.shift = window // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, int(width * mlp_ratio))
        self.register_load_state_dict_pre_hook(_drop_stored_mask)  # type: ignore[no-untyped-call]

    def forward(self, map_BHWC: Tensor, mask_MNN: Tensor) -> Tensor:
        """Transform; `mask_MNN` is read by shifted blocks alone."""
        height, width = map_BHWC.shape[1:3]
        normed: Tensor = self.norm1(map_BHWC)
        if self.shift:
            normed = normed.roll((-self.shift, -self.shift), dims=(1, 2))
        attended = self.attn(split_windows(normed, self.window), mask_MNN if self.shift else None)
        attended_BHWC = join_windows(attended, self.window, height, width)
        if self.shift:
            attended_BHWC = attended_BHWC.roll((self.shift, self.shift), dims=(1, 2))
        map_BHWC = map_BHWC + self.drop_path(attended_BHWC)
        output_BHWC: Tensor = map_BHWC + self.drop_path(self.mlp(self.norm2(map_BHWC)))
        return output_BHWC


def _drop_stored_mask(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    # The authors store the mask of one image size; here it is made for the size at hand.
    state.pop(f"{prefix}attn_mask", None)
