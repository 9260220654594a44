"""A teacher cache's files: stale, half made, unreadable, and beside other people's files."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from densedistill.distill.cache import files as cache_files
from densedistill.distill.cache.files import INDEX_FILE, KEY_FILE, differences
from densedistill.distill.cache.plan import CachePlan, plan_cache
from densedistill.distill.cache.store import TeacherCache
from densedistill.distill.errors import RequestError
from densedistill.distill.outputs import Prediction

KEY = {"teacher": "a" * 64, "data": {"fingerprint": "sha256:" + "b" * 64, "crop": 4}, "seed": 0, "taps": ("layer1",)}
IMAGES, VIEWS = np.arange(4), np.zeros(4, dtype=np.int64)


def answer(width: int = 5) -> Prediction:
    generator = torch.Generator().manual_seed(1)
    return Prediction(
        output=torch.randn(4, width, generator=generator), taps={"layer1": torch.randn(4, 2, 3, generator=generator)}
    )


def planned(width: int = 5, cycle: int = 2) -> CachePlan:
    return plan_cache(answer(width), images=6, cycle=cycle)


def opened(
    folder: Path, key: Mapping[str, object] = KEY, plan: CachePlan | None = None
) -> tuple[TeacherCache, list[str]]:
    said: list[str] = []
    return TeacherCache.open(folder, key, plan or planned(), said.append), said


def fill(folder: Path) -> None:
    cache, said = opened(folder)
    cache.write(IMAGES, VIEWS, answer())
    cache.close()
    assert not said


def test_answers_outlive_the_process_that_made_them(tmp_path: Path) -> None:
    fill(tmp_path / "a" / "b")
    cache, said = opened(tmp_path / "a" / "b", dict(reversed(KEY.items())))
    found = cache.read(IMAGES, VIEWS)
    assert found is not None
    torch.testing.assert_close(found.output, answer().output, rtol=1e-3, atol=1e-3)
    assert (cache.kept, said) == (4, [])


@pytest.mark.parametrize(
    ("key", "plan", "named"),
    [
        (KEY | {"seed": 1}, planned(), "another seed (0, now 1):"),
        (KEY | {"teacher": "c" * 64}, planned(), "another teacher:"),
        (
            KEY | {"data": KEY["data"] | {"crop": 2}, "seed": 7},
            planned(),
            "data.crop (4, now 2), another seed (0, now 7):",
        ),
        (KEY | {"taps": []}, planned(), 'another taps (["layer1"], now []):'),
        (KEY | {"precision": "bf16"}, planned(), "another precision (absent, now bf16):"),
        (KEY, planned(cycle=3), "another layout.cycle (2, now 3):"),
        (KEY, planned(width=6), "another layout.output.shape ([5], now [6]):"),
    ],
)
def test_a_stale_cache_is_made_anew_and_the_differing_fields_are_named(
    key: Mapping[str, object], plan: CachePlan, named: str, tmp_path: Path
) -> None:
    fill(tmp_path)
    cache, said = opened(tmp_path, key, plan)
    assert cache.kept == 0
    assert len(said) == 1
    assert f"'{tmp_path}' was made with another" in said[0]
    assert named in said[0]
    assert said[0].endswith(": it is deleted and made anew")
    assert opened(tmp_path, key, plan)[1] == []


def test_another_version_of_the_format_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    monkeypatch.setattr(cache_files, "FORMAT", 2)
    assert "another format (1, now 2):" in opened(tmp_path)[1][0]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "has a key that cannot be read"),
        (b'{"format": 1, "key"', "has a key that cannot be read"),
        (b"\xff\xfe\x00", "has a key that cannot be read"),
        (b"[1, 2]", "has a key that cannot be read"),
        (b"{}", "was made with another format"),
    ],
)
def test_a_key_that_cannot_be_read_is_stale(content: bytes, named: str, tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(content)
    cache, said = opened(tmp_path)
    assert named in said[0]
    assert cache.kept == 0
    assert json.loads((tmp_path / KEY_FILE).read_text())["format"] == 1


@pytest.mark.parametrize("name", [INDEX_FILE, "teacher-cache.0.values", "teacher-cache.1.values"])
@pytest.mark.parametrize("change", [-1, 1, None])
def test_a_file_of_another_size_makes_a_cache_stale(name: str, change: int | None, tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / name
    size = path.stat().st_size
    if change is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:change] if change < 0 else path.read_bytes() + b"x")
    cache, said = opened(tmp_path)
    assert cache.kept == 0
    assert f"no {name}" in said[0] or f"{size + (change or 0)} bytes in place of {size} of {name}" in said[0]
    assert path.stat().st_size == size


def test_nobody_elses_file_is_touched(tmp_path: Path) -> None:
    fill(tmp_path)
    others = [
        "key.json",
        "model.safetensors",
        "teacher-cache.json.bak",
        "teacher-cache.1.txt",
        "my-teacher-cache.index",
    ]
    for name in others:
        (tmp_path / name).write_text(name)
    (tmp_path / "teacher-cache").mkdir()
    opened(tmp_path, KEY | {"seed": 9})
    assert all((tmp_path / name).read_text() == name for name in others)
    assert (tmp_path / "teacher-cache").is_dir()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("survivors", range(4))
def test_a_kill_at_any_moment_of_creation_leaves_no_cache_to_believe(survivors: int, tmp_path: Path) -> None:
    """Stopped inside the making of a file, or of the key, after `survivors` whole files."""
    made = 0
    reserve = cache_files._reserve

    def dying(path: Path, size: int) -> None:
        nonlocal made
        if made == survivors:
            path.write_bytes(b"half")
            raise Killed
        made += 1
        reserve(path, size)

    def half_a_key(path: Path, _value: object) -> None:
        path.with_name(f".{path.name}.123.tmp").write_text('{"for')
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_files, "_reserve", dying)
        patch.setattr(cache_files, "write_json", half_a_key)
        with pytest.raises(Killed):
            opened(tmp_path)
    cache, said = opened(tmp_path)
    assert said == [f"the teacher cache in '{tmp_path}' was left unfinished: it is deleted and made anew"]
    assert cache.kept == 0
    assert len(list(tmp_path.iterdir())) == 4
    assert opened(tmp_path)[1] == []


@pytest.mark.parametrize("deleted", range(4))
def test_a_kill_while_a_stale_cache_is_deleted_leaves_no_cache_to_believe(deleted: int, tmp_path: Path) -> None:
    fill(tmp_path)
    done = 0
    unlink = Path.unlink

    def dying(path: Path, missing_ok: bool = False) -> None:
        nonlocal done
        if done == deleted:
            raise Killed
        done += 1
        unlink(path, missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", dying)
        with pytest.raises(Killed):
            opened(tmp_path, KEY | {"seed": 1})
    cache, said = opened(tmp_path)  # under the old key
    assert cache.kept == (0 if deleted else 4)
    assert len(said) == (1 if deleted else 0)


def test_a_full_disk_is_a_refusal_and_leaves_nothing(tmp_path: Path) -> None:
    """The limit on a file's size fails as a full disk does, while the files are made."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(
            RequestError, match=r"needs 312 bytes in .*, where the disk refused them \(File too large\)"
        ):
            opened(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RequestError, match=rf"folder '{folder}' cannot be used \(.*\): give a folder"):
            opened(folder)


def test_differences_are_found_at_any_depth() -> None:
    before = {"a": 1, "b": {"c": [1], "d": None}, "e": {}}
    assert differences(before, before) == []
    after = {"a": True, "b": {"c": [1, 2]}, "e": {"f": "x" * 30}}
    named = differences(before, after)
    assert named[:3] == ["a (1, now true)", "b.c ([1], now [1, 2])", "b.d (null, now absent)"]
    assert named[3:] == ["e ({}, now absent)", "e.f"]
