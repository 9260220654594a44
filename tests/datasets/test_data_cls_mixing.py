"""Mixup and CutMix against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from densedistill.datasets.base import Batch, BatchPlan
from densedistill.datasets.mixing import Mixing, cut_box, mix_batch, partners

COUNT, SIZE = 6, 10


def plan_of(number: int) -> BatchPlan:
    images = np.random.default_rng(number).permutation(1000)[:COUNT]
    return BatchPlan(images, np.full(COUNT, number))


def labelled_batch() -> Batch:
    """Every image is one colour, its place in the batch, so that a pixel tells whose it is."""
    colours = torch.arange(COUNT, dtype=torch.float32).view(-1, 1, 1, 1)
    return {"input": colours.expand(COUNT, 3, SIZE, SIZE).clone(), "target": torch.arange(COUNT) * 11}


def mixed(number: int, *, mixup: float | None, cutmix: float | None, probability: float = 1.0) -> Batch:
    return mix_batch(
        labelled_batch(),
        plan_of(number),
        mixup=Mixing(beta=mixup) if mixup else None,
        cutmix=Mixing(beta=cutmix) if cutmix else None,
        probability=probability,
        seed=3,
    )


def used_cutmix(batch: Batch) -> bool:
    """Whether pixels are somebody's own colour, and not blends."""
    return bool((batch["input"] == batch["input"].round()).all())


@pytest.mark.parametrize("number", range(8))
def test_mixup_blends_each_image_with_its_partner(number: int) -> None:
    batch = mixed(number, mixup=0.8, cutmix=None)
    partner = torch.from_numpy(partners(plan_of(number), 3))
    share = batch["mix"].view(-1, 1, 1, 1)
    clean = labelled_batch()["input"]
    torch.testing.assert_close(batch["input"], share * clean + (1 - share) * clean[partner])
    assert torch.equal(batch["mixed_target"], partner * 11)
    assert torch.equal(batch["target"], torch.arange(COUNT) * 11)


@pytest.mark.parametrize("number", range(20))
def test_cutmix_share_is_the_true_area(number: int) -> None:
    batch = mixed(number, mixup=None, cutmix=1.0)
    own = torch.arange(COUNT).view(-1, 1, 1)
    kept = (batch["input"][:, 0] == own).float().mean(dim=(1, 2))
    strangers = batch["mixed_target"] != batch["target"]
    torch.testing.assert_close(batch["mix"][strangers], kept[strangers])
    pixels = batch["input"][:, 0]
    partner = (batch["mixed_target"] // 11).view(-1, 1, 1)
    assert bool(((pixels == own) | (pixels == partner)).all())


def test_boxes_are_clipped_at_the_border() -> None:
    # Keeping 0.64 of 10 x 20 cuts sqrt(0.36) = 0.6 of each side: 6 x 12, half of it beyond a corner.
    assert cut_box(10, 20, 0.64, (0.5, 0.5)) == (2, 8, 4, 16)
    assert cut_box(10, 20, 0.64, (0.0, 0.999)) == (0, 3, 13, 20)
    assert cut_box(10, 20, 1.0, (0.5, 0.5)) == (5, 5, 10, 10)


def test_one_of_two_methods_is_drawn_evenly() -> None:
    batches = [mixed(number, mixup=0.8, cutmix=1.0) for number in range(400)]
    cut = sum(used_cutmix(batch) for batch in batches)
    assert 160 < cut < 240  # 4 standard deviations of a fair coin


@pytest.mark.parametrize("beta", [0.3, 0.8, 2.0])
def test_share_follows_the_beta_distribution(beta: float) -> None:
    shares = np.array([mixed(number, mixup=beta, cutmix=None)["mix"][0].item() for number in range(800)])
    variance = 1 / (4 * (2 * beta + 1))
    assert abs(shares.mean() - 0.5) < 4 * (variance / len(shares)) ** 0.5
    assert shares.var() == pytest.approx(variance, rel=0.15)


def test_probability_leaves_the_rest_of_the_batches_alone() -> None:
    batches = [mixed(number, mixup=0.8, cutmix=1.0, probability=0.25) for number in range(400)]
    untouched = [batch for batch in batches if bool((batch["mix"] == 1).all())]
    assert 250 < len(untouched) < 345  # 300 expected, and CutMix boxes of no area
    assert torch.equal(untouched[0]["input"], labelled_batch()["input"])
    assert not any(bool((mixed(n, mixup=0.8, cutmix=None, probability=0.0)["mix"] < 1).any()) for n in range(20))


def test_pure_function_of_plan_and_seed() -> None:
    first, again = (mixed(9, mixup=0.8, cutmix=1.0) for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    shares = {mixed(number, mixup=0.8, cutmix=None)["mix"][0].item() for number in range(20)}
    assert len(shares) == 20


def test_partners_are_a_permutation() -> None:
    assert sorted(partners(plan_of(0), 3)) == list(range(COUNT))
    assert not np.array_equal(partners(plan_of(0), 3), partners(plan_of(0), 4))


def test_without_mixing_the_batch_is_untouched() -> None:
    batch = labelled_batch()
    result = mix_batch(batch, plan_of(0), mixup=None, cutmix=None, probability=1.0, seed=0)
    assert result is batch


def test_beta_must_be_positive() -> None:
    with pytest.raises(ValidationError):
        Mixing(beta=0)


def test_results_of_earlier_versions_are_repeated() -> None:
    """Drawn before views could be named: a run without a teacher cache must not change."""
    recorded = {
        0: (0.6800000071525574, [1, 5, 4, 2, 0, 3], [4.0] * 4 + [2.0] * 6),
        1: (0.769173800945282, [4, 0, 3, 1, 2, 5], [2.2308261394500732] * 10),
        2: (0.800000011920929, [5, 2, 4, 1, 3, 0], [2.0] * 10),
        3: (0.6399999856948853, [3, 5, 2, 4, 0, 1], [2.0] * 10),
    }
    for number, (share, order, column) in recorded.items():
        batch = mixed(number, mixup=0.8, cutmix=1.0)
        assert batch["mix"].tolist() == [share] * COUNT
        assert (batch["mixed_target"] // 11).tolist() == order
        assert batch["input"][2, 0, :, 4].tolist() == column
