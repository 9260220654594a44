"""Features of networks that enlarge images: along the body, which works at the input's resolution throughout.

Such a network has no stages of unlike resolution, and its finest maps are those of its upsampler. Published ones name
their modules in every way; what they share is a body of blocks of equal width, in maps or in tokens.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import torch

Shapes = Mapping[str, torch.Size]
"""What each module gave, by path, in the order of the ends of their calls."""


def enlarges(images: torch.Size, shapes: Shapes) -> bool:
    """Whether a network makes maps of twice the size of its images (B, C, H, W), or larger."""
    return any(len(shape) == 4 and shape[2] >= 2 * images[2] and shape[3] >= 2 * images[3] for shape in shapes.values())


def body_stages(images: torch.Size, shapes: Shapes, most: int) -> list[str]:
    """At most `most` modules along the body, evenly spaced from shallow to deep, the last one included.

    The body's features are the maps (B, C, H, W), or the tokens (B, L, C), at the input's resolution, padding included,
    of the width that most of the outermost modules give. Of nested modules the outermost count; where these are too
    few, as where the whole body is one module, the one that holds most others is opened. Where there are blocks, lone
    layers between them are left out, but for the last.

    Args:
        images: shape of the input.
        shapes: of the network's modules' outputs.
        most: 1 or more.
    """
    widths = _at_input_size(images, shapes)
    outermost = Counter(width for path, width in widths.items() if _holder(path, widths) is None)
    if not outermost:
        return []
    common = outermost.most_common(1)[0][0]
    body = [path for path, width in widths.items() if width == common]
    chosen = [path for path in body if _holder(path, body) is None]
    while len(chosen) < most:
        parts = {path: _parts(path, body) for path in chosen}
        largest = max(chosen, key=lambda path: len(parts[path]))
        if not parts[largest]:
            break
        place = chosen.index(largest)
        chosen[place : place + 1] = parts[largest]
    blocks = [
        path for path in chosen if path == chosen[-1] or sum(other.startswith(f"{path}.") for other in shapes) > 1
    ]
    stages = blocks if len(blocks) > 1 else chosen
    count = min(most, len(stages))
    return [stages[(place + 1) * len(stages) // count - 1] for place in range(count)]


def _at_input_size(images: torch.Size, shapes: Shapes) -> dict[str, int]:
    """Width of the maps and tokens at the input's resolution, or at the one it is padded to."""
    height, width = images[2:]
    sizes = Counter(shape[2:] for shape in shapes.values() if len(shape) == 4 and _is_padded(shape[2:], height, width))
    if not sizes:
        return {}
    size = sizes.most_common(1)[0][0]
    shuffled = {
        path
        for (path, shape), (_next, larger) in itertools.pairwise(shapes.items())
        if len(shape) == len(larger) == 4 and shape[2] < larger[2] and shape.numel() == larger.numel()
    }
    return {
        path: shape[1] if len(shape) == 4 else shape[2]
        for path, shape in shapes.items()
        if path not in shuffled
        and ((len(shape) == 4 and shape[2:] == size) or (len(shape) == 3 and shape[1] == math.prod(size)))
    }


def _is_padded(size: Sequence[int], height: int, width: int) -> bool:
    # A window of attention is smaller than the image, so padding to it stays below twice the side.
    return height <= size[0] < 2 * height and width <= size[1] < 2 * width


def _holder(path: str, others: Collection[str]) -> str | None:
    """The innermost of `others` that `path` lies in."""
    holders = [other for other in others if path.startswith(f"{other}.")]
    return max(holders, key=len) if holders else None


def _parts(path: str, body: Collection[str]) -> list[str]:
    """The outermost modules within `path`; a lone one is opened in turn. Empty where it holds fewer than two."""
    parts = [other for other in body if _holder(other, body) == path]
    return _parts(parts[0], body) if len(parts) == 1 else parts
