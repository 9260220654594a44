"""The fixed grid: every pixel of every image, in memory and on disk alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.datasets.base import BatchPlan
from densedistill.datasets.dense_grid import grid_cells
from densedistill.datasets.edges import EdgeData, load_edges
from densedistill.datasets.super_resolution import SuperResolutionData, load_super_resolution

CPU = torch.device("cpu")


@pytest.mark.parametrize("side", [7, 16])
def test_every_pixel_is_in_a_patch_and_no_patch_is_needless(side: int) -> None:
    sizes = [(16, 16), (17, 40), (100, 33), (48, 64)]
    cells = grid_cells(sizes, side)
    for image, (height, width) in enumerate(sizes):
        covered = np.zeros((height, width), int)
        own = cells[cells[:, 0] == image]
        for _, top, left in own:
            assert 0 <= top <= height - side
            assert 0 <= left <= width - side
            covered[top : top + side, left : left + side] += 1
        assert covered.min() >= 1
        assert len(own) == -(-height // side) * -(-width // side)
        if height % side == width % side == 0:
            assert covered.max() == 1
    assert cells[:, 0].tolist() == sorted(cells[:, 0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images of which each pixel is different, within an image."""
    root = tmp_path_factory.mktemp("images")
    for place in range(7):
        height, width = 40 + 4 * place, 60
        ramp = np.arange(height * width).reshape(height, width)
        pixels = np.stack([ramp % 256, ramp // 256, np.full_like(ramp, 30 * place)], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{place}.png")
    return root


def options(folder: Path, **changes: object) -> SuperResolutionData:
    given = {"name": "folder", "root": folder, "scale": 2, "hr_patch": 16, "view": "grid", "workers": 0, **changes}
    return SuperResolutionData.model_validate(given)


def test_patches_count_as_images_and_views_turn_them(folder: Path) -> None:
    data = load_super_resolution(options(folder))
    count = len(data.train)
    assert any(f"the {count} patches of a fixed grid of 16 pixels" in note for note in data.notes)
    places = np.arange(count)
    first, again, other = (
        next(iter(data.train.batches([BatchPlan(places, np.full(count, view))], seed=seed, device=CPU)))
        for seed, view in ((0, 0), (0, 0), (0, 1))
    )
    assert torch.equal(first["index"], torch.arange(count))
    assert torch.equal(first["target"], again["target"])
    turned = 0
    for one, two in zip(first["target"], other["target"], strict=True):
        turned += not torch.equal(one, two)
        # Another view is a turn of the same patch: the same pixels in another order.
        assert torch.equal(*(pixels.flatten(1).sort(dim=1).values for pixels in (one, two)))
    assert 0.6 * count < turned <= count
    plain = load_super_resolution(options(folder, augment=False)).train
    batch = next(iter(plain.batches([BatchPlan(places, np.zeros(count, np.int64))], seed=0, device=CPU)))
    assert torch.equal(*(pixels.flatten(1).sort(dim=1).values for pixels in (batch["target"], first["target"])))
    seen = {tuple(pixel) for patch in batch["target"] for pixel in (patch.flatten(1).T * 255).round().int().tolist()}
    # Five of the seven are trained on, and none of their pixels is missed.
    trained = {level for _, _, level in seen}
    assert len(trained) == 5
    assert len(seen) == sum((40 + 4 * (level // 30)) * 60 for level in trained)


def test_patches_on_disk_are_those_in_memory(folder: Path) -> None:
    held = load_super_resolution(options(folder)).train
    streamed = load_super_resolution(options(folder, memory_budget_mb=0)).train
    assert type(held) is not type(streamed)
    assert len(held) == len(streamed)
    plan = BatchPlan(np.array([0, 5, len(held) - 1]), np.array([0, 1, 2]))
    one, two = (next(iter(train.batches([plan], seed=3, device=CPU))) for train in (held, streamed))
    assert all(torch.equal(one[key], two[key]) for key in ("input", "target", "index"))


def test_edges_have_the_same_grid() -> None:
    data = load_edges(EdgeData(collages=(3, 1, 1), collage_size=64, size=24, view="grid", flip=False))
    assert len(data.train) == 3 * 9
    batch = next(iter(data.train.batches([BatchPlan(np.array([0, 2]), np.zeros(2, np.int64))], seed=0, device=CPU)))
    whole = load_edges(EdgeData(collages=(3, 1, 1), collage_size=64, size=64, flip=False)).train
    first = next(iter(whole.batches([BatchPlan(np.array([0]), np.zeros(1, np.int64))], seed=0, device=CPU)))
    assert torch.equal(batch["input"][0], first["input"][0, :, :24, :24])
    assert torch.equal(batch["target"][1], first["target"][0, :, :24, 40:])
