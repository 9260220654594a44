"""AutoAugment, RandAugment and random erasing: tables, draws and their independence of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import kstest
from torchvision.transforms import AutoAugmentPolicy
from torchvision.transforms.v2 import AutoAugment
from torchvision.transforms.v2 import RandAugment as TorchvisionRandAugment

from densedistill.datasets.augment import ClassificationAugmentation, ColorJitter, augment
from densedistill.datasets.base import BatchPlan
from densedistill.datasets.erasing import RandomErasing, erase, erased_boxes
from densedistill.datasets.operations import OPERATIONS
from densedistill.datasets.policies import (
    CIFAR10_POLICY,
    RANDOM_OPERATIONS,
    RandAugment,
    auto_augment_steps,
    rand_augment_steps,
)

PLAN = BatchPlan(np.arange(20000), np.full(20000, 3))
STRONG = [
    ClassificationAugmentation(crop_padding=2, auto_augment="cifar10", color_jitter=ColorJitter()),
    ClassificationAugmentation(crop_padding=0, rand_augment=RandAugment(operations=3, magnitude=14)),
]


def noise(count: int, size: int = 13) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def test_policy_is_torchvision_s() -> None:
    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10)._policies
    ours = tuple(tuple((name, odds, level) for name, odds, level in pair) for pair in CIFAR10_POLICY)
    assert ours == tuple(tuple((name, odds, level or 0) for name, odds, level in pair) for pair in theirs)
    assert set(RANDOM_OPERATIONS) == set(TorchvisionRandAugment._AUGMENTATION_SPACE)


def test_sub_policies_are_drawn_evenly_with_their_odds() -> None:
    first, second = auto_augment_steps(PLAN, 32, 32, seed=0)
    for step, place in ((first, 0), (second, 1)):
        column = [pair[place] for pair in CIFAR10_POLICY]
        for name in OPERATIONS:
            odds = sum(each[1] for each in column if each[0] == name) / 25
            if name == "Identity":
                odds = 1 - sum(each[1] for each in column) / 25
            # Four standard deviations of a share of 20000.
            assert abs((step.names == name).mean() - odds) <= 4 * (odds * (1 - odds) / 20000) ** 0.5, name
    turned = first.magnitudes[first.names == "Rotate"]
    assert set(np.abs(turned).round(4)) == {np.float32(20 / 3).round(4)}
    assert 0.4 < (turned < 0).mean() < 0.6
    assert set(second.magnitudes[second.names == "Posterize"]) == {5.0}


def test_pairs_belong_together() -> None:
    """The two operations of a view are of one sub-policy."""
    first, second = auto_augment_steps(PLAN, 32, 32, seed=0)
    happened = (first.names != "Identity") & (second.names != "Identity")
    pairs = {(pair[0][0], pair[1][0]) for pair in CIFAR10_POLICY}
    assert set(zip(first.names[happened].tolist(), second.names[happened].tolist(), strict=True)) <= pairs


def test_random_operations_are_drawn_evenly_at_one_magnitude() -> None:
    steps = rand_augment_steps(PLAN, 32, 32, RandAugment(operations=2, magnitude=9), seed=0)
    assert len(steps) == 2
    for step in steps:
        names, counts = np.unique(step.names, return_counts=True)
        assert set(names) == set(RANDOM_OPERATIONS)
        assert abs(counts - 20000 / 14).max() < 4 * (20000 / 14) ** 0.5
        np.testing.assert_allclose(np.abs(step.magnitudes[step.names == "Rotate"]), 9.0)
        np.testing.assert_allclose(step.magnitudes[step.names == "Solarize"], 0.7, rtol=1e-6)
    both = (steps[0].names == "Rotate") & (steps[1].names == "Rotate")
    assert 50 < both.sum() < 160  # independent: 102 of 20000


def test_a_step_leaves_other_images_alone() -> None:
    images = noise(400)
    (step,) = rand_augment_steps(
        BatchPlan(np.arange(400), np.zeros(400, int)), 13, 13, RandAugment(operations=1), seed=1
    )
    result = step.apply(images)
    for name in set(step.names.tolist()):
        rows = np.flatnonzero(step.names == name)
        wanted = OPERATIONS[name].apply(images[rows], torch.from_numpy(step.magnitudes[rows]))
        assert torch.equal(result[rows], wanted)


@pytest.mark.parametrize("options", STRONG)
def test_a_view_does_not_depend_on_its_batch(options: ClassificationAugmentation) -> None:
    images = noise(40)
    plan = BatchPlan(np.arange(40), np.full(40, 4))
    together = augment(images, plan, options, seed=1)
    for place in range(40):
        alone = augment(images[place : place + 1], BatchPlan(np.array([place]), np.array([4])), options, seed=1)
        assert torch.equal(together[place], alone[0])
    other = augment(images, BatchPlan(np.arange(40), np.full(40, 5)), options, seed=1)
    assert (other != together).flatten(1).any(1).float().mean() > 0.9


def test_boxes_have_the_area_and_shape_asked_for() -> None:
    options = RandomErasing(probability=1.0, scale=(0.02, 0.2), ratio=(0.3, 3.3))
    top, bottom, left, right = erased_boxes(PLAN, 400, 300, options, seed=0).T
    heights, widths = bottom - top, right - left
    assert top.min() == 0
    assert bottom.max() == 400
    assert left.min() == 0
    assert right.max() == 300
    area = heights * widths / (400 * 300)
    # Sides are whole pixels, of about 40 here.
    assert kstest((area - 0.02) / 0.18, "uniform").statistic < 0.03
    ratios = (np.log(heights / widths) - np.log(0.3)) / np.log(3.3 / 0.3)
    assert kstest(ratios, "uniform").statistic < 0.03
    places = top / np.maximum(400 - heights, 1)
    assert kstest(places, "uniform").statistic < 0.02


def test_erasing_zeroes_its_boxes_and_nothing_else() -> None:
    plan = BatchPlan(np.arange(200), np.zeros(200, dtype=np.int64))
    inputs = torch.rand(200, 3, 16, 16) + 1
    options = RandomErasing()
    result = erase(inputs, plan, options, seed=2)
    boxes = erased_boxes(plan, 16, 16, options, seed=2)
    touched = 0
    for place, (top, bottom, left, right) in enumerate(boxes):
        wanted = inputs[place].clone()
        wanted[:, top:bottom, left:right] = 0
        assert torch.equal(result[place], wanted)
        touched += bottom > top
    assert 25 < touched < 75  # a quarter of 200
    alone = erase(inputs[7:8], BatchPlan(np.array([7]), np.array([0])), options, seed=2)
    assert torch.equal(alone[0], result[7])


def test_a_box_that_never_fits_is_left_out() -> None:
    whole = RandomErasing(probability=1.0, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    boxes = erased_boxes(BatchPlan(np.arange(9), np.zeros(9, int)), 8, 8, whole, seed=0)
    assert (boxes[:, 0] == boxes[:, 1]).all()


def test_impossible_options_are_refused() -> None:
    for bad in ({"probability": 1.1}, {"scale": (0.3, 0.2)}, {"scale": (0, 0.2)}, {"ratio": (0, 1)}):
        with pytest.raises(ValidationError):
            RandomErasing.model_validate(bad)
    for bad in ({"operations": 0}, {"magnitude": 31}):
        with pytest.raises(ValidationError):
            RandAugment.model_validate(bad)
    with pytest.raises(ValidationError, match="leave one of them out"):
        ClassificationAugmentation(auto_augment="cifar10", rand_augment=RandAugment())
    with pytest.raises(ValidationError):
        ClassificationAugmentation.model_validate({"auto_augment": "imagenet"})
