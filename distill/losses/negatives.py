"""Which other images an image is contrasted with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.seeds import derive


class Negatives(nn.Module):
    """Draws, for each image, others of the training set: uniformly, with replacement, never the image itself.

    With `classes`, never an image of its class. Images are ordered by class, so that those to avoid are one stretch
    to step over, and a draw is one random number. The count of draws is state: a restart goes on with the draws
    that an undisturbed run would make.
    """

    order: Tensor
    first: Tensor
    size: Tensor

    def __init__(self, images: int, count: int, classes: Tensor | None = None, seed: int = 0) -> None:
        """Order the images.

        Args:
            images: M, in the training set.
            count: N, drawn for each image and call.
            classes: (M,) int64, each image's class, or None.
            seed: gives the draws.

        Raises:
            RequestError: fewer than two images, or than two classes, or not one class for each image.
        """
        super().__init__()
        labels = torch.arange(images) if classes is None else classes.cpu()
        if labels.shape != (images,):
            raise RequestError(
                f"classes of shape {tuple(labels.shape)} do not fit {images} training images: give one for each"
            )
        kinds, members, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
        if len(kinds) < 2:
            what = "image" if classes is None else "class"
            raise RequestError(
                f"a training set of {len(kinds)} {what} has nothing to contrast an image with: give two or more"
            )
        self.count, self.seed, self.calls = count, seed, 0
        # Made from the arguments, so no part of the state.
        self.register_buffer("order", members.argsort(stable=True), persistent=False)
        self.register_buffer("first", (sizes.cumsum(0) - sizes)[members], persistent=False)
        self.register_buffer("size", sizes[members], persistent=False)

    def forward(self, index: Tensor) -> Tensor:
        """(B, N) int64 places in the training set for the images (B,); another draw at each call."""
        generator = torch.Generator(index.device).manual_seed(derive(self.seed, "negatives", self.calls))
        self.calls += 1
        size, first = self.size[index][:, None], self.first[index][:, None]
        shape = (len(index), self.count)
        # A remainder, because the places left differ from image to image; its bias is below 1e-9.
        place = torch.randint(2**62, shape, generator=generator, device=index.device) % (len(self.order) - size)
        return self.order[place + size * (place >= first)]

    def get_extra_state(self) -> dict[str, Any]:
        """How many draws were made."""
        return {"calls": self.calls}

    def set_extra_state(self, state: Any) -> None:
        """Go on after that many draws."""
        self.calls = int(state["calls"])
