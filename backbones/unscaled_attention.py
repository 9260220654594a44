"""Window attention for a network that only answers, in bfloat16 on a CPU.

There the matrix products of a window are the smaller part: adding biases in float32 and the softmax, which reads its
input three times, take the larger. Here scores stay in half precision, their exponentials are not scaled to shares, and
the products with the values are divided by the sums in the end, which are a few numbers for each pixel in place of one
for each pair of pixels.

Shape suffixes as in `window_attention`: N pixels of a window, C channels, K heads, M windows of an image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FURTHEST = 70.0
"""Scores are cut to this at either side, so that no sum of exponentials overflows or vanishes without the softmax's
search for the greatest. Neighbouring bfloat16 numbers are 0.5 apart there: such shares are not known anyway."""


class UnscaledWindowAttention(nn.Module):
    """Answers like the `WindowAttention` whose parts it is given; no gradients reach these.

    Shape: (B*M, N, C) to the same; `mask_MNN` as there.
    """

    weight: Tensor
    bias: Tensor
    position_bias: Tensor

    def __init__(self, qkv: nn.Linear, proj: nn.Linear, bias_KNN: Tensor, dtype: torch.dtype) -> None:
        """Lay the weights out anew.

        Args:
            qkv: the layer that makes queries, keys and values.
            proj: the layer behind the attention; taken as it is.
            bias_KNN: of each head, for each pair of pixels.
            dtype: what everything is computed in.
        """
        super().__init__()
        self.heads = bias_KNN.shape[0]
        self.size = qkv.in_features // self.heads
        # One value more, which is always 1: its product with the exponentials is their sum. An even number of them, as
        # products in bfloat16 take two at a time.
        self.values = self.size + 2 - self.size % 2
        more = self.values - self.size
        shape = (3, self.heads, self.size)
        query, key, value = qkv.weight.detach().double().view(*shape, -1)
        query_bias, key_bias, value_bias = qkv.bias.detach().double().view(shape)
        scale = self.size**-0.5
        weights = [query * scale, key, F.pad(value, (0, 0, 0, more))]
        biases = [query_bias * scale, key_bias, F.pad(value_bias, (0, more), value=1.0)]
        self.proj = proj
        self.register_buffer("weight", torch.cat([part.flatten(0, 1) for part in weights]).to(dtype), persistent=False)
        self.register_buffer("bias", torch.cat([part.flatten() for part in biases]).to(dtype), persistent=False)
        self.register_buffer("position_bias", bias_KNN.detach().to(dtype), persistent=False)

    def forward(self, windows: Tensor, mask_MNN: Tensor | None) -> Tensor:
        """Attend; see the class for shapes."""
        n, c = windows.shape[1:]
        heads, size = self.heads, self.size
        with torch.autocast(windows.device.type, enabled=False):
            mixed = F.linear(windows.to(self.weight.dtype), self.weight, self.bias)
            asked, answers = mixed[..., : 2 * c], mixed[..., 2 * c :]
            query, key = asked.view(-1, n, 2, heads, size).permute(2, 0, 3, 1, 4).reshape(2, -1, n, size).unbind(0)
            value = answers.view(-1, n, heads, self.values).transpose(1, 2).reshape(-1, n, self.values)
            scores = torch.bmm(query, key.transpose(1, 2))
            added = self.position_bias
            if mask_MNN is not None:
                added = added + mask_MNN[:, None].to(added.dtype)
            scores.view(-1, *added.shape).add_(added)
            weighed = torch.bmm(scores.clamp_(-FURTHEST, FURTHEST).exp_(), value)
            attended = weighed[..., :size] / weighed[..., size : size + 1]
            joined = attended.view(-1, heads, n, size).transpose(1, 2).reshape(-1, n, c)
        projected: Tensor = self.proj(joined)
        return projected
