"""Reading and writing a teacher's answers: what comes back, what is mended, and what never changes."""

from __future__ import annotations

import math
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from densedistill.distill.cache.files import INDEX_FILE
from densedistill.distill.cache.plan import plan_cache
from densedistill.distill.cache.store import TeacherCache
from densedistill.distill.lessons.plan import Plan, epoch_plan
from densedistill.distill.outputs import Prediction

IMAGES, CYCLE = 10, 3
WITH_TAPS = {"layer1": (2, 3, 3), "head": (4,)}


def answer(count: int, classes: int = 6, seed: int = 0, taps: dict[str, tuple[int, ...]] | None = None) -> Prediction:
    generator = torch.Generator().manual_seed(seed)
    shapes = WITH_TAPS if taps is None else taps
    return Prediction(
        output=torch.randn(count, classes, generator=generator) * 3,
        taps={path: torch.randn(count, *shape, generator=generator).bfloat16() for path, shape in shapes.items()},
    )


def opened(folder: Path, example: Prediction | None = None, **options: int) -> tuple[TeacherCache, list[str]]:
    said: list[str] = []
    plan = plan_cache(example or answer(1), images=IMAGES, cycle=CYCLE, **options)
    return TeacherCache.open(folder, {"seed": 0}, plan, said.append), said


def batch(*pairs: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    images, views = np.array(pairs).T
    return images, views


def assert_equal(first: Prediction | None, second: Prediction | None) -> None:
    assert first is not None
    assert second is not None
    assert torch.equal(first.output, second.output)
    assert list(first.taps) == list(second.taps)
    for path, tap in first.taps.items():
        assert tap.dtype == second.taps[path].dtype
        assert torch.equal(tap, second.taps[path])


@pytest.mark.parametrize("options", [{}, {"classes_kept": 2}])
def test_what_is_read_is_what_was_given_back_when_written(tmp_path: Path, options: dict[str, int]) -> None:
    cache, said = opened(tmp_path, **options)
    first, second = batch((4, 0), (9, 2), (0, 1)), batch((4, 1), (9, 0))
    assert cache.read(*first) is None
    given = answer(3)
    stored, other = cache.write(*first, given), cache.write(*second, answer(2, seed=1))
    assert_equal(cache.read(*first), stored)
    assert_equal(cache.read(*second), other)
    torch.testing.assert_close(stored.output.topk(2).values, given.output.topk(2).values, rtol=1e-3, atol=0)
    assert torch.equal(stored.taps["layer1"], given.taps["layer1"])
    assert (cache.kept, cache.repaired, cache.refused, said) == (5, 0, 0, [])


def test_a_batch_of_other_neighbours_finds_each_views_own_answer(tmp_path: Path) -> None:
    cache, _ = opened(tmp_path)
    pairs = [(image, view) for image in range(IMAGES) for view in range(CYCLE)]
    stored = cache.write(*batch(*pairs), answer(30))
    order = np.random.default_rng(0).permutation(30)[:11]
    found = cache.read(*batch(*(pairs[place] for place in order)))
    assert found is not None
    assert torch.equal(found.output, stored.output[order])
    assert torch.equal(found.taps["layer1"], stored.taps["layer1"][order])
    assert cache.kept == 30


def test_nothing_is_read_unless_every_view_is_there(tmp_path: Path) -> None:
    cache, said = opened(tmp_path)
    cache.write(*batch((1, 0), (2, 0)), answer(2))
    assert cache.read(*batch((1, 0), (3, 0))) is None
    assert cache.read(*batch((1, 1))) is None
    assert not said


def test_the_first_answer_to_a_view_stays(tmp_path: Path) -> None:
    cache, _ = opened(tmp_path)
    first = cache.write(*batch((1, 0), (2, 0)), answer(2))
    mixed = cache.write(*batch((2, 0), (5, 0)), answer(2, seed=1))
    assert torch.equal(mixed.output[0], first.output[1])
    assert torch.equal(mixed.taps["head"][0], first.taps["head"][1])
    assert not torch.equal(mixed.output[1], first.output[1])
    assert_equal(cache.read(*batch((2, 0), (5, 0))), mixed)


def test_a_view_that_comes_twice_in_a_batch_has_one_answer(tmp_path: Path) -> None:
    cache, said = opened(tmp_path)
    twice = batch((1, 0), (2, 0), (1, 0))
    stored = cache.write(*twice, answer(3))
    assert torch.equal(stored.output[0], stored.output[2])
    assert_equal(cache.read(*twice), stored)
    assert not said


def test_what_is_given_back_is_the_callers_own(tmp_path: Path) -> None:
    cache, _ = opened(tmp_path, Prediction(output=torch.zeros(1, 4).half(), taps={}))
    pair = batch((0, 0))
    cache.write(*pair, Prediction(output=torch.ones(1, 4).half(), taps={})).output.zero_()
    found = cache.read(*pair)
    assert found is not None
    found.output.zero_()
    again = cache.read(*pair)
    assert again is not None
    assert again.output.tolist() == [[1] * 4]


# -- damage -----------------------------------------------------------------------------------------------------------


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def slot(image: int, view: int) -> int:
    return image * CYCLE + view


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(folder / "teacher-cache.0.values", slot(7, 2) * 12 + 11),
        lambda folder: flip(folder / "teacher-cache.1.values", slot(7, 2) * 36),
        lambda folder: flip(folder / "teacher-cache.2.values", slot(7, 2) * 8 + 3),
        lambda folder: flip(folder / INDEX_FILE, slot(7, 2) * 4 + 1),
    ],
    ids=["output", "tap", "last tap", "index"],
)
@pytest.mark.parametrize("found_by", ["read", "write"])
def test_a_flipped_bit_is_found_said_and_mended(tmp_path: Path, damage: Callable[[Path], None], found_by: str) -> None:
    cache, _ = opened(tmp_path)
    pairs = batch((3, 2), (7, 2))
    stored = cache.write(*pairs, answer(2))
    cache.close()
    damage(tmp_path)
    cache, said = opened(tmp_path)
    if found_by == "read":
        assert cache.read(*pairs) is None
        assert cache.read(*pairs) is None  # counted once
    again = cache.write(*pairs, answer(2))
    assert cache.repaired == 1
    assert len(said) == 1
    assert "view 2 of image 7 is damaged and is computed again" in said[0]
    assert_equal(again, stored)
    assert_equal(cache.read(*pairs), stored)


def test_an_index_ahead_of_its_data_is_found(tmp_path: Path) -> None:
    """What a power cut can leave: the checksum reached the disk, the answer did not, or only its first half did."""
    cache, _ = opened(tmp_path)
    cache.write(*batch((0, 0), (0, 1)), answer(2))
    cache.close()
    values = tmp_path / "teacher-cache.0.values"
    content = bytearray(values.read_bytes())
    content[6:24] = bytes(18)
    values.write_bytes(content)
    cache, said = opened(tmp_path)
    assert cache.read(*batch((0, 0))) is None
    assert cache.read(*batch((0, 1))) is None
    assert (cache.repaired, cache.kept, len(said)) == (2, 0, 1)
    cache.close()
    assert said[1] == "teacher cache: 2 damaged answers were computed again in all"


def test_an_answer_whose_true_checksum_is_zero_is_kept(tmp_path: Path) -> None:
    """An index of 0 means that there is no answer."""
    content = bytes.fromhex("003c004000420000351bd54c")
    assert zlib.crc32(content) == 0
    example = Prediction(output=torch.from_numpy(np.frombuffer(content, np.float16).copy())[None].float(), taps={})
    cache, said = opened(tmp_path, example)
    cache.write(*batch((0, 0)), example)
    assert_equal(cache.read(*batch((0, 0))), example)
    assert (cache.kept, said) == (1, [])


# -- answers that cannot be kept --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e5])
@pytest.mark.parametrize("where", ["output", "layer1"])
def test_an_answer_that_float16_cannot_hold_is_passed_on_as_it_is(tmp_path: Path, where: str, bad: float) -> None:
    cache, said = opened(tmp_path)
    given = answer(3)
    (given.output if where == "output" else given.taps[where])[1].view(-1)[2] = bad
    pairs = batch((0, 0), (1, 0), (2, 0))
    for seen in (1, 2):
        passed = cache.write(*pairs, given)
        torch.testing.assert_close(passed.output[1], given.output[1], rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(passed.taps["layer1"][1], given.taps["layer1"][1], rtol=0, atol=0, equal_nan=True)
        assert (cache.refused, cache.kept, len(said)) == (seen, 2, 1)
        assert cache.read(*pairs) is None
    assert said[0].startswith("teacher cache: 1 answers of a batch hold a value that is not finite or beyond 65504")
    others = cache.read(*batch((0, 0), (2, 0)))
    assert others is not None
    assert torch.equal(others.output, passed.output[[0, 2]])
    cache.close()
    assert said[1] == "teacher cache: 2 answers could not be kept in all"


def test_wrong_shapes_taps_and_places_are_refused(tmp_path: Path) -> None:
    cache, _ = opened(tmp_path)
    pairs = batch((0, 0), (1, 0))
    for wrong, message in (
        (answer(3), "an answer of"),
        (answer(2, classes=7), r"an answer of \(2, 7\) is not the teacher cache's 2 x \(6,\)"),
        (answer(2, taps={"layer1": (2, 3, 3)}), r"taps \['layer1'\] are not those .*\['head', 'layer1'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            cache.write(*pairs, wrong)
    for places in (batch((0, CYCLE)), batch((0, -1)), batch((IMAGES, 0)), batch((-1, 0))):
        with pytest.raises(ValueError, match=r"are not all in \[0, "):
            cache.read(*places)
    assert cache.kept == 0


# -- sharing and interruption -----------------------------------------------------------------------------------------


def test_processes_share_one_cache(tmp_path: Path) -> None:
    """Two mappings of the same files, as two processes have them."""
    (first, _), (second, said) = opened(tmp_path), opened(tmp_path)
    mine, others = batch((0, 0), (2, 0)), batch((1, 0), (3, 0))
    one, two = first.write(*mine, answer(2)), second.write(*others, answer(2, seed=1))
    assert_equal(second.read(*mine), one)
    assert_equal(first.read(*others), two)
    assert (first.kept, second.kept, said) == (4, 4, [])


def test_reading_ahead_in_a_thread_meets_whole_answers_only(tmp_path: Path) -> None:
    example = Prediction(output=torch.zeros(1, 3, 40, 40), taps={})
    cache, said = opened(tmp_path, example)
    pairs = [batch((image, view)) for image in range(IMAGES) for view in range(CYCLE)]
    wrong: list[float] = []
    found = 0
    writing = threading.Event()

    def read() -> None:
        nonlocal found
        while not writing.is_set() or found == 0:
            for number, pair in enumerate(pairs):
                kept = cache.read(*pair)
                if kept is not None:
                    found += 1
                    wrong.extend(kept.output[kept.output != number].tolist())

    thread = threading.Thread(target=read)
    thread.start()
    for number, pair in enumerate(pairs):
        cache.write(*pair, Prediction(output=torch.full((1, 3, 40, 40), float(number)), taps={}))
    writing.set()
    thread.join()
    assert (wrong, cache.repaired, said) == ([], 0, [])


class Lesson:
    """A loop as the engine has it, with a teacher whose last bits depend on the batch it is asked about."""

    def __init__(self, folder: Path, ahead: int) -> None:
        self.cache, self.said = opened(folder, Prediction(output=torch.zeros(1, 4), taps={}))
        self.ahead = ahead
        self.seen: dict[int, torch.Tensor] = {}
        """What the student was taught in each step."""

    def run(self, first: int, stop: int) -> None:
        plans = [
            plan
            for epoch in range(8)
            for plan in epoch_plan(images=IMAGES, views=None, batch_size=4, seed=2, epoch=epoch, cycle=CYCLE)
        ]
        for step, (plan, kept) in enumerate(self._loaded(plans[first:stop]), start=first):
            given = kept or self.cache.write(plan.images, plan.views, self._teacher(plan))
            self.seen[step] = given.output

    def _loaded(self, plans: list[Plan]) -> Iterator[tuple[Plan, Prediction | None]]:
        ready: list[tuple[Plan, Prediction | None]] = []
        for plan in plans:
            ready.append((plan, self.cache.read(plan.images, plan.views)))
            if len(ready) > self.ahead:
                yield ready.pop(0)
        yield from ready

    @staticmethod
    def _teacher(plan: Plan) -> Prediction:
        noise = float(plan.images @ np.arange(1, 5)) / 100
        logits = torch.from_numpy(plan.images * 10 + plan.views).float()[:, None] + noise
        return Prediction(output=logits.expand(-1, 4), taps={})


def test_what_a_run_is_taught_does_not_depend_on_interruptions(tmp_path: Path) -> None:
    """Ten images in batches of four: every epoch leaves two out, so later batches are partly kept."""
    whole = Lesson(tmp_path / "whole", ahead=0)
    whole.run(0, 16)
    assert whole.cache.kept > 20
    for number, (saved, killed, ahead) in enumerate([(0, 9, 0), (2, 7, 2), (5, 14, 3), (0, 16, 1)]):
        folder = tmp_path / str(number)
        Lesson(folder, ahead).run(0, killed)
        resumed = Lesson(folder, ahead)
        resumed.run(saved, 16)
        assert all(torch.equal(taught, whole.seen[step]) for step, taught in resumed.seen.items())
        assert not resumed.said
