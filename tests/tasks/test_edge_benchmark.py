"""Finished edge arms are judged by the boundary benchmark, on test images alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.datasets.base import DataError
from densedistill.datasets.edges import EdgeData, bsds_annotations, load_edges
from densedistill.tasks.edge_benchmark import benchmark


@pytest.fixture
def bsds(tmp_path: Path) -> Path:
    """BSDS500 of five images, upright and lying, each with three annotators who drew another line."""
    random = np.random.default_rng(0)
    for part, shapes in (("train", [(70, 80)]), ("val", [(70, 80)]), ("test", [(70, 80), (80, 70), (70, 80)])):
        images, truth = (tmp_path / "bsds500" / kind / part for kind in ("images", "groundTruth"))
        images.mkdir(parents=True)
        truth.mkdir(parents=True)
        for place, shape in enumerate(shapes):
            Image.fromarray(random.integers(0, 256, (*shape, 3), np.uint8)).save(images / f"{part}{place}.jpg")
            drawn = np.zeros((3, *shape), np.uint8)
            for annotator in range(3):
                drawn[annotator, 20 * annotator + 10 + place] = 1
            np.savez(truth / f"{part}{place}.npz", boundaries=drawn, segmentation=drawn)
    return tmp_path


def test_bsds500_alone_is_judged_unless_asked_for(bsds: Path) -> None:
    collages = EdgeData(collages=(2, 1, 1), collage_size=32)
    images = load_edges(collages).tests["collage"]
    assert benchmark(collages, "test", images) is None
    assert benchmark(collages.model_copy(update={"benchmark": "always"}), "test", images) is not None
    options = EdgeData(name="bsds500", root=bsds, size=32)
    tests = load_edges(options).tests["bsds500"]
    assert benchmark(options, "test", tests) is not None
    assert benchmark(options.model_copy(update={"benchmark": "never"}), "test", tests) is None


def test_each_image_is_matched_with_its_own_annotators(bsds: Path) -> None:
    options = EdgeData(name="bsds500", root=bsds, size=32, nms=False)
    tests = load_edges(options).tests["bsds500"]
    annotations = bsds_annotations(options, "test", tests.ids)
    judge = benchmark(options, "test", tests)
    assert judge is not None
    for batch in tests.batches(8, device=torch.device("cpu")):
        drawn = [annotations(place).max(axis=0) for place in batch["index"].tolist()]
        judge.update(torch.from_numpy(np.stack(drawn)).float()[:, None], batch)
    # Every predicted line is some annotator's, and of each annotator all is found.
    assert judge.compute()["ods"] == 1.0
    assert [row["f"] for row in judge.per_image()] == [1.0, 1.0, 1.0]


def test_names_that_are_not_there_are_named(bsds: Path) -> None:
    with pytest.raises(DataError, match="no annotation of train0 in test"):
        bsds_annotations(EdgeData(name="bsds500", root=bsds), "test", ["test0", "train0"])
