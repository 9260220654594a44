"""Edge images on disk with what their annotators drew, and what of it counts as a boundary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import adaptive_max_pool2d

from densedistill.datasets.bicubic import imresize_8bit
from densedistill.datasets.bsds import annotator_share, read_annotations
from densedistill.datasets.dense_files import AnnotatedFiles, refuse_sizes
from densedistill.datasets.dense_pairs import Planes
from densedistill.datasets.pixels import SUFFIXES, read_mask, read_rgb, to_planes

Consensus = Literal["majority", "any", "soft"]
"""What several annotators make together: a boundary where at least half of them drew one at this very pixel; where
anyone did; or the share of them who did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeFiles(AnnotatedFiles):
    """Pairs of an image and its boundaries, by place."""

    consensus: Consensus

    def read(self, place: int) -> Planes:
        """Image (3, H, W) and boundaries (1, H, W).

        Raises:
            DataError: a file cannot be read, or the annotation is of another size than the image.
        """
        file = self.files[place]
        share = _read_share(file.annotation)
        refuse_sizes(file.annotation, share.shape, file.image, file.size)
        return edge_pair(read_rgb(file.image), share, self.consensus, self.side)


def edge_pair(image: np.ndarray, share: np.ndarray, consensus: Consensus, side: int | None = None) -> Planes:
    """(H, W, 3) and (H, W) uint8 to planes; with `side` the image is resized, antialiased, to side x side, and each
    cell of its mask takes the largest value it covers, so that thin boundaries survive.
    """
    target = agree(share, consensus)
    if side is not None:
        image, target = imresize_8bit(image, (side, side)), _largest_in_cells(target, side)
    return to_planes(image), to_planes(target)


def agree(share: np.ndarray, consensus: Consensus) -> np.ndarray:
    """(H, W) uint8 share of annotators (255 = all) to the target (H, W) uint8: 0 or 255, or the share itself."""
    if consensus == "soft":
        return share
    chosen = share >= 128 if consensus == "majority" else share > 0
    return chosen.astype(np.uint8) * np.uint8(255)


def _largest_in_cells(target: np.ndarray, side: int) -> np.ndarray:
    pooled = adaptive_max_pool2d(torch.from_numpy(target).to(torch.float32)[None], side)
    return pooled[0].to(torch.uint8).numpy()


def _read_share(annotation: Path) -> np.ndarray:
    """(H, W) uint8, the share of annotators who drew a boundary at the pixel, 255 = all."""
    if annotation.suffix.lower() in SUFFIXES:
        return read_mask(annotation)
    return annotator_share(read_annotations(annotation).boundaries)
