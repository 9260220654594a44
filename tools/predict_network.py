"""A finished arm that is applied to images: prepared as its evaluation prepares them, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from densedistill.datasets.pixels import to_planes
from densedistill.distill.errors import RequestError
from densedistill.distill.prediction.application import Outcome
from densedistill.distill.prediction.bounded import Bounded, pixels_of_tile
from densedistill.distill.prediction.tiling import Network
from densedistill.distill.prediction.views import Views, averaged
from densedistill.distill.spec import TaskSpec
from densedistill.tools.finished import FinishedArm


@dataclass(frozen=True, kw_only=True)
class Applied:
    """An arm on its device."""

    arm: FinishedArm
    network: Network
    device: torch.device
    views: Views | None
    """Of test-time augmentation; None: each image as it is."""
    most: int | None
    """Pixels of one tile; None: as many as the memory has room for."""

    @property
    def spec(self) -> TaskSpec:
        """The task."""
        return self.arm.resolved.spec

    def shown(self, pixels: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 to what the network is shown, (3, h, w) in [0, 1], on the CPU."""
        planes = torch.from_numpy(to_planes(pixels))
        return self._view(planes) if self._view is not None else planes.to(torch.float32) / 255

    def predict(self, images: Sequence[Tensor]) -> Tensor:
        """Finished predictions (B, ...) for images of one size, as `shown` gives them."""
        record = self.arm.record
        mean, std = (
            torch.tensor(record[key], device=self.device).view(-1, 1, 1) for key in ("input_mean", "input_std")
        )
        batch = torch.stack(list(images)).to(self.device).sub_(mean).div_(std)
        with torch.inference_mode():
            return self._finished(self.network, batch)

    def tell(self, prediction: Tensor, image: Tensor) -> Outcome:
        """What is told of one image."""
        return self.spec.application.tell(prediction, image, tuple(self.arm.record["classes"]))

    @cached_property
    def _view(self) -> Callable[[Tensor], Tensor] | None:
        make = self.spec.application.view
        return None if make is None else make(self.arm.resolved.options, int(self.arm.record["generation"]))

    @cached_property
    def _finished(self) -> Callable[[Network, Tensor], Tensor]:
        """(network, input) -> finished prediction; tiles are finished one by one, while they are small."""
        predict, finish, views = self.spec.predict, self.spec.finish, self.views

        def finished(network: Network, images: Tensor) -> Tensor:
            if views is not None:
                return averaged(network, images, views, predict, finish)
            return finish(predict(network, images).float())

        if self._view is not None:
            return finished
        return Bounded(finished, reach=self.spec.application.reach, most=self.most)


def applied(arm: FinishedArm, device: torch.device, *, tile: str, views: Views | None) -> Applied:
    """`arm` on `device`.

    Raises:
        RequestError: `tile` is neither `auto` nor a number of pixels, or too small a one.
    """
    if tile == "auto":
        most = None
    elif tile.isdecimal():
        most = pixels_of_tile(int(tile), arm.resolved.spec.application.reach)
    else:
        raise RequestError(f"tile '{tile}' is no size: give a number of pixels, or auto.")
    return Applied(arm=arm, network=arm.on(device), device=device, views=views, most=most)
