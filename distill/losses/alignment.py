"""Two networks' features at one size, and projectors whose weights depend on their own seed alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.checks import check_same_images
from densedistill.distill.losses.features import as_map, to_smaller
from densedistill.distill.losses.precision import widened

Module = TypeVar("Module", bound=nn.Module)


def aligned(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both features as maps of one height and width, in float32 or wider; the teacher's is a constant.

    Tokens become maps (`as_map`); of two sizes the larger is averaged to the smaller in each dimension
    (`to_smaller`).

    Args:
        student: (B, C, H, W), or tokens (B, L, C).
        teacher: (B, C', H', W'), or tokens (B, L', C').

    Returns:
        (B, C, H'', W'') and (B, C', H'', W'').

    Raises:
        RequestError: other shapes, tokens that fill no grid, or different images.
    """
    check_same_images(student, teacher)
    return to_smaller(as_map(widened(student), teacher), as_map(widened(teacher).detach(), student))


def seeded(build: Callable[[], Module], seed: int) -> Module:
    """The module `build` makes, with weights from `seed`; the global generator stays where it is.

    PyTorch's layers draw from the global generator, so that adding a projector would change every weight
    initialised after it.
    """
    before = torch.random.get_rng_state()
    try:
        torch.default_generator.manual_seed(seed)
        return build()
    finally:
        torch.random.set_rng_state(before)


def check_batch_norm(module: nn.Module, images: int, height: int, width: int) -> None:
    """Raise `RequestError` if `module` trains and its batch-norm would get a single value for each channel."""
    if module.training and images * height * width == 1:
        raise RequestError(
            "one image with a feature of 1x1 has no variance for the batch-norm of this method's projector: "
            "give two images or more at once, or tap a layer with a larger map"
        )
