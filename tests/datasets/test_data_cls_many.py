"""Data sets of very many images: their names, lists and splits are arrays, and mean what lists of objects meant."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from densedistill.datasets import imagefolder
from densedistill.datasets.base import DataError
from densedistill.datasets.imagefolder import digest_files, files_by_class, listed_files
from densedistill.datasets.labelled import first_per_class, hold_out_per_class
from densedistill.datasets.naming import Names, chosen
from densedistill.datasets.views import uniform

WORDS = ("train/cat/0.png", "", "train/Ünï/ö.jpg", "broken-\udce9", "z")


# -- names ----------------------------------------------------------------------------------------------------------


def test_names_read_back() -> None:
    names = Names.of(WORDS)
    assert list(names) == list(WORDS)
    assert (names[-1], names[1:3], len(names)) == ("z", WORDS[1:3], 5)
    assert names == WORDS
    assert names != WORDS[:4]
    assert names != (*WORDS[:4], "y")
    assert names.index("z") == 4
    with pytest.raises(IndexError):
        names[5]


def test_names_are_selected_in_order_and_joined() -> None:
    names = Names.of(WORDS)
    some = names.select(np.array([4, 0, 0]))
    assert some == ("z", WORDS[0], WORDS[0])
    assert some.select(np.array([1])) == (WORDS[0],)
    both = Names.joined([some, Names.of([]), Names.of(["end"])])
    assert both == ("z", WORDS[0], WORDS[0], "end")
    assert list(Names.joined([])) == []


def test_names_cost_a_process_their_text_and_16_bytes_each() -> None:
    names = Names.of(f"train/{place:07d}.jpg" for place in range(1000))
    assert len(pickle.dumps(names)) < 1000 * (17 + 16) + 1000


def test_chosen_keeps_the_kind() -> None:
    assert isinstance(chosen(Names.of(WORDS), np.array([0])), Names)
    assert chosen(WORDS, np.array([4, 1])) == ("z", "")


# -- files ----------------------------------------------------------------------------------------------------------


def touch(path: Path, content: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_files_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    """A folder sorts before what only begins like it: `a/x` before `a-b/x`, though `-` sorts before `/`."""
    for name in ("a-b/x.png", "a/x.png", "a/b/y.JPG", "a.png", ".hidden.png", "a/notes.txt", "deep.png/z.png"):
        touch(tmp_path / "train" / "cat" / name)
    touch(tmp_path / "train" / "dog" / "1.png", b"12345")
    found = files_by_class(tmp_path, "train", ["dog", "cat"])
    expected = sorted(
        path for path in (tmp_path / "train/cat").rglob("*") if path.suffix in {".png", ".JPG"} and path.is_file()
    )
    cats = [path.relative_to(tmp_path).as_posix() for path in expected if not path.name.startswith(".")]
    assert found.names == ["train/dog/1.png", *cats]
    assert found.labels.tolist() == [0, *[1] * 5]
    assert found.sizes.tolist() == [5, 0, 0, 0, 0, 0]


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "cat" / "0.png")
    (tmp_path / "train" / "cat" / "1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"1\.png: its link points nowhere"):
        files_by_class(tmp_path, "train", ["cat"])
    with pytest.raises(DataError, match=r"cannot read .*gone\.png"):
        listed_files(tmp_path, ["gone.png"], [0])


@pytest.mark.parametrize("whole", [True, False])
def test_digest_is_over_path_size_and_content(tmp_path: Path, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "train" / "cat" / "0.png", b"pixels")
    touch(tmp_path / "train" / "cat" / "1.png", b"more")
    if not whole:
        monkeypatch.setattr(imagefolder, "_WHOLE_CONTENT_FILES", 1)
    files = files_by_class(tmp_path, "train", ["cat"])
    content = (b"pixels", b"more") if whole else (b"", b"")
    expected = hashlib.sha256(b"train/cat/0.png\n6\n" + content[0] + b"train/cat/1.png\n4\n" + content[1])
    assert digest_files([files], tmp_path) == expected.hexdigest()


# -- splits ---------------------------------------------------------------------------------------------------------


def order_of(count: int, seed: int, stream: str) -> list[int]:
    draws = uniform(seed, np.arange(count), np.zeros(count, dtype=np.int64), stream)[:, 0]
    return sorted(range(count), key=lambda place: draws[place])


@pytest.mark.parametrize("seed", [0, 7])
def test_splits_take_each_class_s_first_in_a_shuffled_order(seed: int) -> None:
    labels = np.random.default_rng(seed).choice([0, 2, 3, 9], size=101, p=[0.5, 0.3, 0.15, 0.05]).astype(np.int64)
    kept, held = hold_out_per_class(labels, 20, seed)
    order = order_of(101, seed, "hold out")
    for label in np.unique(labels):
        mine = [place for place in order if labels[place] == label]
        share = int((labels[held] == label).sum())
        assert abs(share - 20 * len(mine) / 101) < 1
        assert sorted(mine[:share]) == [place for place in held if labels[place] == label]
    assert sorted([*kept, *held]) == list(range(101))
    assert kept.tolist() == sorted(kept.tolist())

    order = order_of(101, seed, "limit")
    by_class = {label: [place for place in order if labels[place] == label] for label in np.unique(labels)}
    expected = sorted(place for mine in by_class.values() for place in mine[:7])
    assert first_per_class(labels, 7, seed).tolist() == expected
