"""Cells of the report's sample panels, shared by the tasks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from densedistill.distill.data import TaskData
from densedistill.distill.spec import PanelCell


def as_pixels(image_CHW: Tensor) -> np.ndarray:
    """(1 or 3, H, W) in [0, 1] to (H, W, 3) uint8."""
    rounded = (image_CHW.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    return rounded.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()


def input_picture(entries: Mapping[str, Tensor], data: TaskData) -> PanelCell:
    """The network's input with its normalisation undone."""
    image = entries["input"].cpu()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.input_mean, data.input_std))
    return PanelCell(image=as_pixels(image * std + mean))


def centre(image_CHW: Tensor, height: int, width: int) -> Tensor:
    """The middle (C, height, width) of an image, or all of a smaller one."""
    top, left = max(image_CHW.shape[-2] - height, 0) // 2, max(image_CHW.shape[-1] - width, 0) // 2
    return image_CHW[:, top : top + height, left : left + width]
