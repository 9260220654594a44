"""What a teacher cache will take, said before it is made."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from densedistill.distill.cache import files as cache_files
from densedistill.distill.cache.files import KEY_FILE, require_space
from densedistill.distill.cache.plan import CLASSES_KEPT, KEEP_ALL_CLASSES, plan_cache
from densedistill.distill.cache.store import TeacherCache
from densedistill.distill.cache.tensors import LargestLogits, Whole
from densedistill.distill.errors import RequestError
from densedistill.distill.outputs import Prediction


def answer(*shape: int, **taps: tuple[int, ...]) -> Prediction:
    return Prediction(output=torch.zeros(2, *shape), taps={path: torch.zeros(2, *tap) for path, tap in taps.items()})


@pytest.mark.parametrize(
    ("example", "classes_kept", "per_view"),
    [
        (answer(100), None, 4 + 200),
        (answer(1000), None, 4 + 64 * 2 + 64 * 2 + 4),
        (answer(70_000), 8, 4 + 8 * 2 + 8 * 4 + 4),
        (answer(1000), 1000, 4 + 2000),
        (answer(10), 3, 4 + 3 * 4 + 4),
        (answer(3, 16, 16), None, 4 + 3 * 16 * 16 * 2),
        (answer(10, layer1=(4, 3, 3), layer2=(5,)), None, 4 + 20 + 72 + 10),
    ],
)
def test_bytes_are_exact(example: Prediction, classes_kept: int | None, per_view: int, tmp_path: Path) -> None:
    plan = plan_cache(example, images=7, cycle=3, classes_kept=classes_kept)
    assert (plan.slots, plan.bytes_per_view, plan.bytes) == (21, per_view, 21 * per_view)
    TeacherCache.open(tmp_path, {}, plan, print).close()
    files = [path for path in tmp_path.iterdir() if path.name != KEY_FILE]
    assert sum(path.stat().st_size for path in files) == plan.bytes
    assert sum(path.stat().st_blocks for path in files) * 512 >= plan.bytes


def test_many_classes_are_cut_to_the_largest() -> None:
    assert isinstance(plan_cache(answer(KEEP_ALL_CLASSES), 1, 1).output, Whole)
    cut = plan_cache(answer(KEEP_ALL_CLASSES + 1, tap=(500,)), 1, 1, temperature=4.0)
    assert cut.output == LargestLogits(
        classes=KEEP_ALL_CLASSES + 1, kept=CLASSES_KEPT, temperature=4.0, dtype=torch.float32
    )
    assert isinstance(cut.taps["tap"], Whole)


def test_description_names_views_size_and_tensors() -> None:
    plan = plan_cache(answer(1000, layer3=(8, 2, 2)), images=50_000, cycle=2)
    assert plan.describe() == (
        "32.8 MB for 2 views of 50,000 images, 328 bytes each (output the 64 largest of 1000 logits in float16 and the "
        "mass of the rest; tap 'layer3' 8 x 2 x 2 in float16)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 0}, "images 0 leaves"),
        ({"cycle": 0}, r"teacher_cache \(views\) 0 leaves"),
        ({"classes_kept": 0}, "classes_kept 0 leaves"),
        ({"temperature": 0.0}, "temperature 0.0 .*not above 0"),
        ({"temperature": math.nan}, "temperature nan .*not above 0"),
        ({"example": answer(10, windows=(0,))}, r"tap 'windows' of the teacher is \(2, 0\)"),
        (
            {"example": Prediction(output=torch.zeros(2, 3), taps={"attn": torch.zeros(8, 3)})},
            r"tap 'attn' of the teacher is \(8, 3\) of torch.float32.*each of the 2 images.*leave it out",
        ),
        (
            {"example": Prediction(output=torch.zeros(2, 3, dtype=torch.long), taps={})},
            "the output of the teacher is .*int64",
        ),
        ({"example": Prediction(output=torch.zeros(()), taps={})}, "the output of the teacher is"),
    ],
)
def test_refused(arguments: dict[str, object], message: str) -> None:
    given = {"example": answer(10), "images": 3, "cycle": 2} | arguments
    with pytest.raises(RequestError, match=message):
        plan_cache(**given)  # type: ignore[arg-type]


def free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(cache_files.shutil, "disk_usage", lambda _path: SimpleNamespace(free=count))


def test_no_room_is_known_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "not" / "yet"
    plan = plan_cache(answer(100), images=1000, cycle=8)  # 204,000 bytes a view of all
    free(monkeypatch, 8 * 204_000)
    require_space(folder, {}, plan)
    free(monkeypatch, 8 * 204_000 - 1)
    with pytest.raises(RequestError) as caught:
        require_space(folder, {}, plan)
    assert str(caught.value) == (
        f"the teacher cache needs 1,632,000 bytes in '{folder}', where 1,631,999 are free (1.6 MB); it would hold "
        "1.6 MB for 8 views of 1,000 images, 204 bytes each (output 100 in float16). Give --teacher-cache 7 "
        "(the most that fits), or fewer logits to keep of each view, or a folder on a disk with more room."
    )
    free(monkeypatch, 1000)
    with pytest.raises(RequestError, match=r"of each view, or a folder on a disk with more room\.$") as caught:
        require_space(folder, {}, plan)
    assert "--teacher-cache" not in str(caught.value)
    with pytest.raises(RequestError, match=r"Give a folder on a disk with more room\.$"):
        require_space(folder, {}, plan_cache(answer(1, 50, 50), images=1000, cycle=8))
    assert not list(tmp_path.iterdir())


def test_an_existing_cache_needs_no_more_and_a_stale_one_gives_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_cache(answer(100), images=1000, cycle=2)
    TeacherCache.open(tmp_path, {"seed": 0}, plan, print).close()
    free(monkeypatch, 0)
    require_space(tmp_path, {"seed": 0}, plan)
    require_space(tmp_path, {"seed": 1}, plan)
    with pytest.raises(RequestError, match="needs 612,000 bytes"):
        require_space(tmp_path, {"seed": 0}, plan_cache(answer(100), images=1000, cycle=3))


def test_the_real_disk_is_asked(tmp_path: Path) -> None:
    total = shutil.disk_usage(tmp_path).total
    huge = plan_cache(answer(1, 1000), images=total // 2000 + 1, cycle=1)
    with pytest.raises(RequestError, match=r"where .* are free"):
        require_space(tmp_path / "new", {}, huge)
