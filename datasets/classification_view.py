"""What the evaluation of a classification data set would show of any image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densedistill.datasets.classification import ClassificationData, input_sizes
from densedistill.datasets.decoding import fit
from densedistill.datasets.normalisation import Normalisation
from densedistill.datasets.resizing import resized

_AS_IT_IS = Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def evaluation_view(options: ClassificationData, generation: int) -> Callable[[Tensor], Tensor]:
    """A function from pixels (3, H, W) uint8 to the input (3, S, S) in [0, 1] of an arm of `generation`.

    Resized by the shorter side (antialiased bicubic) and cut to the central square, once to the size at which the data
    set's images are held, and again to the network's where that is another. No data is read.
    """
    sizes = input_sizes(options)
    size = sizes.teacher if generation == 1 else sizes.student

    def view(pixels: Tensor) -> Tensor:
        held = fit(pixels, sizes.held(size))[None].to(torch.float32) / 255
        return resized(held, size, _AS_IT_IS)[0]

    return view
