"""Which views an epoch is made of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.lessons.plan import epoch_plan, steps_per_epoch


def test_each_image_once_before_any_twice() -> None:
    plans = epoch_plan(images=10, views=25, batch_size=5, seed=3, epoch=0)
    order = np.concatenate([plan.images for plan in plans])
    assert len(order) == 25
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert len(set(order[20:])) == 5
    assert list(order[:10]) != list(order[10:20])


def test_no_image_meets_a_view_twice_in_a_run() -> None:
    seen = Counter(
        (image, view)
        for epoch in range(6)
        for plan in epoch_plan(images=7, views=17, batch_size=4, seed=0, epoch=epoch)
        for image, view in zip(plan.images.tolist(), plan.views.tolist(), strict=True)
    )
    assert len(seen) == 6 * 16
    assert set(seen.values()) == {1}


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_processes_share_a_batch_without_changing_it(processes: int) -> None:
    given = {"images": 30, "views": 48, "batch_size": 12, "seed": 5, "epoch": 2}
    joined = epoch_plan(**given)
    parts = [epoch_plan(**given, rank=rank, processes=processes) for rank in range(processes)]
    for step, whole in enumerate(joined):
        shares = [part[step] for part in parts]
        assert {len(share.images) for share in shares} == {12 // processes}
        assert np.stack([share.images for share in shares], axis=1).ravel().tolist() == whole.images.tolist()
        assert np.stack([share.views for share in shares], axis=1).ravel().tolist() == whole.views.tolist()


def test_plan_is_a_pure_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        plans = epoch_plan(images=40, views=None, batch_size=8, seed=seed, epoch=epoch)
        return [image for plan in plans for image in plan.images.tolist()]

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)


@pytest.mark.parametrize(
    ("images", "views", "batch_size", "steps"),
    [(100, None, 10, 10), (105, None, 10, 10), (200, 800, 16, 50), (5, None, 8, 1), (5, 3, 8, 1)],
)
def test_steps_are_whole_batches_and_one_at_least(images: int, views: int | None, batch_size: int, steps: int) -> None:
    assert steps_per_epoch(images, views, batch_size) == steps
    plans = epoch_plan(images=images, views=views, batch_size=batch_size, seed=0, epoch=0)
    assert len(plans) == steps
    assert {len(plan.images) for plan in plans} == {min(batch_size, views or images)}


@pytest.mark.parametrize("views", [None, 18])
def test_a_cycle_repeats_view_numbers_and_changes_nothing_else(views: int | None) -> None:
    numbers: dict[int, list[int]] = {image: [] for image in range(9)}
    for epoch in range(6):
        free = epoch_plan(images=9, views=views, batch_size=3, seed=1, epoch=epoch)
        cyclic = epoch_plan(images=9, views=views, batch_size=3, seed=1, epoch=epoch, cycle=4)
        for one, other in zip(free, cyclic, strict=True):
            assert (one.named, other.named) == (False, True)
            assert one.images.tolist() == other.images.tolist()
            assert (one.views % 4).tolist() == other.views.tolist()
            for image, view in zip(other.images.tolist(), other.views.tolist(), strict=True):
                numbers[image].append(view)
    turns = 6 * (views or 9) // 9
    assert all(met == [turn % 4 for turn in range(turns)] for met in numbers.values())


@pytest.mark.parametrize("cycle", [0, -2])
def test_a_cycle_has_a_view_at_least(cycle: int) -> None:
    with pytest.raises(RequestError, match=f"are {cycle}.*give 1 or more"):
        epoch_plan(images=9, views=None, batch_size=3, seed=1, epoch=0, cycle=cycle)
