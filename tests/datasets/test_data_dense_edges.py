"""Edge data: BSDS500 in both encodings, pairs of images and masks, and collages."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from densedistill.datasets.base import BatchPlan, DataError
from densedistill.datasets.bsds import annotator_share, bsds_images, read_annotations
from densedistill.datasets.collage import label_boundaries, make_collages
from densedistill.datasets.edges import EdgeData, agree, load_edges
from densedistill.datasets.photos import texture_photos

CPU = torch.device("cpu")
SMALL_COLLAGES = {"collage_size": 64, "collages": (6, 3, 3)}


def _edges(name: str, root: Path | None = None, **changes: object) -> EdgeData:
    return EdgeData.model_validate({"name": name, "root": root, **changes})


def _bsds(root: Path, *, encoding: str = "mat", base: str = "BSR/BSDS500/data") -> Path:
    """A miniature of BSDS500: two images a part, three annotators, one of them alone on row 5."""
    rng = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        images, truth = root / base / "images" / part, root / base / "groundTruth" / part
        images.mkdir(parents=True)
        truth.mkdir(parents=True)
        for name, (height, width) in (("11", (40, 24)), ("12", (24, 40))):
            Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(images / f"{name}.jpg")
            boundaries = np.zeros((3, height, width), np.uint8)
            boundaries[:, 2], boundaries[:2, 3], boundaries[0, 5] = 1, 1, 1
            segments = np.cumsum(boundaries, axis=1).astype(np.uint16)
            if encoding == "npz":
                np.savez_compressed(truth / f"{name}.npz", boundaries=boundaries, segmentation=segments)
            else:
                cell = np.empty((1, 3), object)
                for place in range(3):
                    cell[0, place] = {"Segmentation": segments[place], "Boundaries": boundaries[place] > 0}
                savemat(truth / f"{name}.mat", {"groundTruth": cell}, do_compression=True)
    return root / base


@pytest.mark.parametrize(("encoding", "base"), [("mat", "BSR/BSDS500/data"), ("npz", "bsds500")])
def test_bsds_keeps_all_annotators_in_both_encodings(tmp_path: Path, encoding: str, base: str) -> None:
    _bsds(tmp_path, encoding=encoding, base=base)
    found = bsds_images(tmp_path, "train")
    assert [image.name for image in found] == ["11", "12"]
    annotations = read_annotations(found[0].annotation)
    assert annotations.boundaries.shape == (3, 40, 24)
    assert annotations.boundaries[:, [2, 3, 5], 0].tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]
    assert annotations.segmentations[0, -1, 0] == 3


@pytest.mark.parametrize(
    ("consensus", "rows"), [("majority", [255, 255, 0]), ("any", [255, 255, 255]), ("soft", [255, 170, 85])]
)
def test_consensus_of_training_and_of_evaluation(tmp_path: Path, consensus: str, rows: list[int]) -> None:
    _bsds(tmp_path)
    data = load_edges(_edges("bsds500", tmp_path, size=24, consensus=consensus, flip=False, view="resize"))
    assert len(data.train) == 2
    (batch,) = data.train.batches([BatchPlan(np.array([1]), np.array([0]))], seed=0, device=CPU)
    # Image 12 is 24 high and view 24: its rows are kept, only its columns are reduced.
    assert (batch["target"][0, 0, [2, 3, 5], 7] * 255).round().tolist() == rows
    for evaluation in data.val.batches(4, device=CPU):
        assert evaluation["target"][0, 0, [2, 3, 5], 7].tolist() == [1.0, 1.0, 0.0]


def test_half_of_the_annotators_is_a_majority() -> None:
    drawn = np.zeros((4, 1, 3), np.uint8)
    drawn[:2, 0, 0], drawn[:1, 0, 1] = 1, 1
    share = annotator_share(drawn)
    assert agree(share, "majority").tolist() == [[255, 0, 0]]
    assert agree(share, "any").tolist() == [[255, 255, 0]]
    for count in range(1, 10):
        for votes in range(count + 1):
            column = (np.arange(count) < votes).astype(np.uint8)[:, None, None]
            assert bool(agree(annotator_share(column), "majority")[0, 0]) == (2 * votes >= count)


def test_evaluation_images_come_in_groups_of_one_shape(tmp_path: Path) -> None:
    _bsds(tmp_path)
    data = load_edges(_edges("bsds500", tmp_path, size=16))
    assert list(data.tests["bsds500"].ids) == ["12", "11"]
    shapes = [tuple(batch["target"].shape) for batch in data.tests["bsds500"].batches(8, device=CPU)]
    assert shapes == [(1, 1, 24, 40), (1, 1, 40, 24)]


def test_inputs_have_imagenets_normalisation(tmp_path: Path) -> None:
    base = _bsds(tmp_path)
    data = load_edges(_edges("bsds500", tmp_path, size=16))
    (first, *_) = data.val.batches(1, device=CPU)
    pixels = np.asarray(Image.open(base / "images/val/12.jpg")).astype(np.float64) / 255
    expected = (pixels - data.input_mean) / data.input_std
    np.testing.assert_allclose(first["input"][0].permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_thin_boundaries_survive_resizing(tmp_path: Path) -> None:
    _bsds(tmp_path)
    data = load_edges(_edges("bsds500", tmp_path, size=16, view="resize", flip=False))
    (batch,) = data.train.batches([BatchPlan(np.array([0]), np.array([0]))], seed=0, device=CPU)
    assert batch["input"].shape == (1, 3, 16, 16)
    # 40 rows on 16 cells of 2.5: rows 2 and 3 lie in cell 1 (rows 2 to 4), row 2 in cell 0 (rows 0 to 2) as well.
    assert batch["target"][0, 0, :, 0].tolist() == [1.0, 1.0, *[0.0] * 14]


def test_bsds_faults_name_the_file(tmp_path: Path) -> None:
    base = _bsds(tmp_path)
    options = _edges("bsds500", tmp_path, size=16)
    with pytest.raises(DataError, match=r"BSDS500 is not below .*: looked for"):
        load_edges(_edges("bsds500", base / "images"))
    annotation = base / "groundTruth/val/11.mat"
    original = annotation.read_bytes()
    annotation.write_bytes(original[:200])
    with pytest.raises(DataError, match=r"cannot read BSDS500 annotations from .*11\.mat"):
        load_edges(options)
    annotation.write_bytes((base / "groundTruth/val/12.mat").read_bytes())
    with pytest.raises(DataError, match=r"11\.mat is 40x24 and its image .*11\.jpg is 24x40"):
        load_edges(options)
    annotation.unlink()
    with pytest.raises(DataError, match=r"11\.jpg has no annotation .*11\.mat"):
        load_edges(options)
    annotation.write_bytes(original)
    image = base / "images/test/12.jpg"
    image.write_bytes(image.read_bytes()[:300])
    with pytest.raises(DataError, match=r"test.12\.jpg"):
        load_edges(options)


def test_pickled_annotations_are_refused(tmp_path: Path) -> None:
    base = _bsds(tmp_path, encoding="npz", base="bsds500")
    path = base / "groundTruth/train/11.npz"
    np.savez(path, boundaries=np.array([{"a": 1}], object), segmentation=np.zeros((1, 2, 2)))
    with pytest.raises(DataError, match=r"11\.npz"):
        read_annotations(path)


def _pairs(root: Path, parts: tuple[str, ...], count: int = 10) -> None:
    rng = np.random.default_rng(0)
    for part in parts:
        for kind, shape in (("images", (32, 40, 3)), ("masks", (32, 40))):
            folder = root / kind / part
            folder.mkdir(parents=True, exist_ok=True)
            for place in range(count):
                pixels = rng.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{part}{place}.png")


def test_pairs_in_one_pool_are_split_once(tmp_path: Path) -> None:
    _pairs(tmp_path, ("",))
    data = load_edges(_edges("pairs", tmp_path, size=32, val_size=3))
    assert (len(data.train), len(data.val.ids), len(data.tests["pairs"].ids)) == (4, 3, 3)
    assert not set(data.val.ids) & set(data.tests["pairs"].ids)
    again = load_edges(_edges("pairs", tmp_path, size=32, val_size=3))
    assert (again.val.ids, again.fingerprint) == (data.val.ids, data.fingerprint)
    assert load_edges(_edges("pairs", tmp_path, size=32, val_size=3, split_seed=1)).val.ids != data.val.ids


def test_pairs_in_parts_are_kept(tmp_path: Path) -> None:
    _pairs(tmp_path, ("train", "val", "test"), count=3)
    data = load_edges(_edges("pairs", tmp_path, size=32))
    assert list(data.val.ids) == ["val0", "val1", "val2"]
    (batch,) = data.val.batches(3, device=CPU)
    mask = np.asarray(Image.open(tmp_path / "masks/val/val1.png"))
    np.testing.assert_array_equal(batch["target"][1, 0].numpy(), (mask >= 128).astype(np.float32))


def test_pairs_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DENSEDISTILL_DATA", raising=False)
    _pairs(tmp_path, ("",))
    with pytest.raises(DataError, match="none of the 6 training images is as large as a view of 64"):
        load_edges(_edges("pairs", tmp_path, size=64))
    (tmp_path / "masks" / "3.png").unlink()
    with pytest.raises(DataError, match=r"1 names are in only one of .*: 3;"):
        load_edges(_edges("pairs", tmp_path, size=32))
    Image.new("L", (40, 31)).save(tmp_path / "masks" / "3.png")
    with pytest.raises(DataError, match=r"3\.png is 40x31 and its image .*3\.png is 40x32"):
        load_edges(_edges("pairs", tmp_path, size=32))
    with pytest.raises(DataError, match=r"there is no folder .*images"):
        load_edges(_edges("pairs", tmp_path / "masks"))
    with pytest.raises(DataError, match="'pairs' needs a root"):
        load_edges(_edges("pairs"))


def test_boundaries_are_where_labels_change() -> None:
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    expected = [[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    assert label_boundaries(labels).astype(int).tolist() == expected
    mirrored = label_boundaries(labels[:, ::-1])
    np.testing.assert_array_equal(mirrored, label_boundaries(labels)[:, ::-1])


def test_collages_are_pure_and_their_labels_fit_their_pixels() -> None:
    made = make_collages("train", 4, 64, seed=5)
    again = make_collages("train", 3, 64, seed=5)
    np.testing.assert_array_equal(made.images[:3], again.images)
    np.testing.assert_array_equal(made.labels[:3], again.labels)
    assert not np.array_equal(made.images, make_collages("train", 4, 64, seed=6).images)
    # Across a boundary grey levels jump more than elsewhere: labels and pixels belong together.
    images = made.images.astype(float).mean(axis=3)
    jumps = np.abs(np.diff(images, axis=2))
    crossing = made.labels[:, :, 1:] != made.labels[:, :, :-1]
    assert jumps[crossing].mean() > 2.5 * jumps[~crossing].mean()


def test_collages_of_each_part_use_their_own_photographs() -> None:
    names = [set(texture_photos(role)) for role in ("train", "val", "test")]
    assert all(names)
    assert sum(map(len, names)) == len(set().union(*names))
    data = load_edges(_edges("collage", **SMALL_COLLAGES))
    assert data.embedded
    assert (len(data.train), len(data.val.ids), len(data.tests["collage"].ids)) == (6, 3, 3)
    (batch,) = data.train.batches([BatchPlan(np.arange(6), np.zeros(6, np.int64))], seed=0, device=CPU)
    assert batch["input"].shape == (6, 3, 64, 64)
    assert set(batch["target"].unique().tolist()) == {0.0, 1.0}
    assert 0.02 < batch["target"].mean().item() < 0.3
    assert data.fingerprint == load_edges(_edges("collage", **SMALL_COLLAGES)).fingerprint
    assert data.fingerprint != load_edges(_edges("collage", **SMALL_COLLAGES, split_seed=1)).fingerprint


def test_real_bsds500() -> None:
    given = os.environ.get("DENSEDISTILL_DATA")
    root = Path(given) if given else Path(__file__).parents[3] / "shared" / "data"
    if not (root / "bsds500").is_dir():
        pytest.skip(f"no BSDS500 below {root}: set DENSEDISTILL_DATA")
    assert [len(bsds_images(root, part)) for part in ("train", "val", "test")] == [200, 100, 200]
    data = load_edges(_edges("bsds500", root, limit=8))
    (batch,) = data.train.batches([BatchPlan(np.arange(4), np.arange(4))], seed=0, device=CPU)
    assert batch["input"].shape == (4, 3, 256, 256)
    assert 0.001 < batch["target"].mean().item() < 0.05
