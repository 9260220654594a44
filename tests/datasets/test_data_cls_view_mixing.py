"""Mixing that belongs to the view: the same pixels, targets and shares in any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import kstest

from densedistill.datasets.augment import ClassificationAugmentation, ColorJitter
from densedistill.datasets.base import Batch, BatchPlan, TrainSet
from densedistill.datasets.classification import ClassificationData, load_classification
from densedistill.datasets.memory import MemoryTrainSet, TrainingOptions
from densedistill.datasets.mixing import Mixing, cut_box
from densedistill.datasets.normalisation import Normalisation
from densedistill.datasets.view_mixing import ViewMixes, draw_mixes

CPU = torch.device("cpu")
BOTH = ClassificationAugmentation(crop_padding=2, color_jitter=ColorJitter(), mixup=Mixing(beta=0.8), cutmix=Mixing())
IMAGES, SIZE = 40, 12
forks = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


def named(images: list[int], views: list[int] | int = 0) -> BatchPlan:
    return BatchPlan(np.array(images), np.broadcast_to(np.array(views), len(images)).copy(), named=True)


def held(augmentation: ClassificationAugmentation, pixels: torch.Tensor | None = None) -> MemoryTrainSet:
    if pixels is None:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (IMAGES, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    normalisation = Normalisation(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    options = TrainingOptions(augmentation=augmentation, normalisation=normalisation)
    return MemoryTrainSet(pixels, np.arange(len(pixels)) * 11, options)


def constant(augmentation: ClassificationAugmentation) -> MemoryTrainSet:
    """Every image is one colour, its own place, so that a pixel tells whose it is."""
    colours = torch.arange(IMAGES, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 10, 10).contiguous()
    options = TrainingOptions(
        augmentation=augmentation.model_copy(update={"crop_padding": 0, "color_jitter": None}),
        normalisation=Normalisation(mean=(0.0,) * 3, std=(1 / 255,) * 3),
    )
    return MemoryTrainSet(colours, np.arange(IMAGES) * 11, options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("noise")
    generator = np.random.default_rng(0)
    for part, name, count in (("train", "a", 8), ("train", "b", 6), ("test", "a", 1), ("test", "b", 1)):
        (root / part / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (SIZE, SIZE + 2, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / part / name / f"{number}.png")
    return root


def streamed(folder: Path, workers: int) -> TrainSet:
    return load_classification(
        ClassificationData(
            name="imagefolder",
            root=folder,
            input_size=SIZE,
            val_size=2,
            workers=workers,
            memory_budget_mb=0,
            augmentation=BOTH,
        )
    ).train


def only(train: TrainSet, plan: BatchPlan, seed: int = 3) -> Batch:
    (batch,) = train.batches([plan], seed=seed, device=CPU)
    return batch


def assert_same_rows(first: Batch, rows: list[int], second: Batch, other: list[int]) -> None:
    assert first.keys() == second.keys()
    assert {"mixed_target", "mix"} <= first.keys()
    for key in first:
        assert torch.equal(first[key][rows], second[key][other]), key


def test_a_view_is_the_same_in_any_batch() -> None:
    train = held(BOTH)
    large = only(train, named(list(range(33)), [7] * 33))
    small = only(train, named([30, 2, 17], 7))
    assert_same_rows(large, [30, 2, 17], small, [0, 1, 2])
    for image in (2, 17, 30):
        assert_same_rows(large, [image], only(train, named([image], 7)), [0])


def test_a_view_is_the_same_without_a_neighbour_it_is_mixed_with() -> None:
    """Twice in one batch, and beside its own partner."""
    train = held(BOTH)
    partner = int(draw(named([5], 1)).partners.images[0])
    batch = only(train, named([5, partner, 5], 1))
    assert_same_rows(batch, [0], batch, [2])
    assert_same_rows(batch, [0, 1], only(train, named([5, partner], 1)), [0, 1])


@forks
@pytest.mark.parametrize("workers", [0, 1])
def test_worker_views_are_the_same_in_any_batch(folder: Path, workers: int) -> None:
    train = streamed(folder, workers)
    plans = [named(list(range(12)), 3), named([9, 4], 3)]
    large, small = train.batches(plans, seed=1, device=CPU)
    assert_same_rows(large, [9, 4], small, [0, 1])
    assert (large["mix"] < 1).sum() > 6


def draw(
    plan: BatchPlan, *, images: int = IMAGES, mixup: float | None = 0.8, cutmix: float | None = 1.0, p: float = 1.0
) -> ViewMixes:
    return draw_mixes(
        plan,
        images,
        mixup=Mixing(beta=mixup) if mixup else None,
        cutmix=Mixing(beta=cutmix) if cutmix else None,
        probability=p,
        seed=3,
    )


def test_mixup_blends_a_view_with_its_partners_view() -> None:
    """Rebuilt from the unmixed views of both images."""
    mixup = ClassificationAugmentation(crop_padding=2, mixup=Mixing(beta=0.8))
    plan = named(list(range(10)), 4)
    mixes = draw(plan, cutmix=None)
    plain = held(mixup.model_copy(update={"mixup": None}))
    own, theirs = only(plain, plan), only(plain, mixes.partners)
    batch = only(held(mixup), plan)
    share = torch.from_numpy(mixes.share).view(-1, 1, 1, 1)
    expected = share * own["input"].double() + (1 - share) * theirs["input"].double()
    torch.testing.assert_close(batch["input"].double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(batch["target"], own["target"])
    assert torch.equal(batch["mixed_target"], theirs["target"])
    np.testing.assert_allclose(batch["mix"], mixes.share, rtol=1e-6)


def test_cutmix_share_is_the_area_that_is_the_views_own() -> None:
    plan = named(list(range(IMAGES)), 2)
    batch = only(constant(ClassificationAugmentation(cutmix=Mixing())), plan)
    colours = batch["input"][:, 0].round()
    own = colours == torch.arange(IMAGES).view(-1, 1, 1)
    partner = colours == (batch["mixed_target"] // 11).view(-1, 1, 1)
    assert bool((own ^ partner).all())
    torch.testing.assert_close(batch["mix"], own.float().mean((1, 2)))
    mixes = draw(plan, mixup=None)
    top, bottom, left, right = cut_box(10, 10, float(mixes.share[7]), (mixes.centers[7, 0], mixes.centers[7, 1]))
    assert bool(partner[7, top:bottom, left:right].all())
    assert int(partner[7].sum()) == (bottom - top) * (right - left)


def test_each_view_has_its_own_kind_share_and_partner() -> None:
    plan = named(list(range(IMAGES)) * 25, np.repeat(np.arange(25), IMAGES).tolist())
    mixes = draw(plan)
    assert 420 < mixes.cut.sum() < 580  # of 1000, 5 standard deviations
    assert len(set(mixes.share.tolist())) == 1000
    assert len({*zip(mixes.partners.images.tolist(), mixes.partners.views.tolist(), strict=True)}) == 1000


@pytest.mark.parametrize("beta", [0.3, 0.8, 2.0])
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_shares_follow_their_beta_distribution(kind: str, beta: float) -> None:
    plan = named([3] * 2000, list(range(2000)))
    betas = {"mixup": None, "cutmix": None} | {kind: beta}
    assert kstest(draw(plan, **betas).share, "beta", args=(beta, beta)).pvalue > 0.01
    both = draw(plan, mixup=0.3, cutmix=2.0)
    chosen = both.share[both.cut == (kind == "cutmix")]
    assert kstest(chosen, "beta", args=(0.3, 0.3) if kind == "mixup" else (2.0, 2.0)).pvalue > 0.01


def test_partners_are_any_other_image_and_equally_likely() -> None:
    plan = named([0, 2, 4] * 800, list(range(2400)))
    partners = draw(plan, images=5).partners.images
    for image in (0, 2, 4):
        counts = np.bincount(partners[plan.images == image], minlength=5)
        assert counts[image] == 0
        assert ((counts[np.arange(5) != image] > 140) & (counts[np.arange(5) != image] < 260)).all()  # of 200


def test_the_only_image_is_its_own_partner() -> None:
    mixes = draw(named([0] * 20, list(range(20))), images=1)
    assert set(mixes.partners.images.tolist()) == {0}
    assert len(set(mixes.partners.views.tolist())) == 20


def test_unmixed_views_are_untouched() -> None:
    plan = named(list(range(IMAGES)))
    some = BOTH.model_copy(update={"mix_probability": 0.3})
    batch, plain = only(held(some), plan), only(held(BOTH.model_copy(update={"mixup": None, "cutmix": None})), plan)
    left = np.setdiff1d(np.arange(IMAGES), draw(plan, p=0.3).rows)
    assert 20 <= len(left) < IMAGES
    assert torch.equal(batch["input"][left], plain["input"][left])
    assert torch.equal(batch["mixed_target"][left], batch["target"][left])
    assert batch["mix"][left].unique().tolist() == [1.0]
    none = only(held(BOTH.model_copy(update={"mix_probability": 0.0})), plan)
    assert torch.equal(none["input"], plain["input"])
    assert none["mix"].unique().tolist() == [1.0]
    assert set(plain) == {"input", "target", "index"}


def test_seed_image_and_view_all_matter() -> None:
    def pixels(image: int, view: int, seed: int) -> torch.Tensor:
        return only(held(BOTH), named([image], view), seed)["input"]

    base = pixels(5, 1, 3)
    assert not torch.equal(base, pixels(5, 2, 3))
    assert not torch.equal(base, pixels(5, 1, 4))
    assert not torch.equal(base, pixels(6, 1, 3))


def test_views_without_a_name_are_mixed_as_a_batch() -> None:
    """One kind and one share for the batch, and partners from within it, as `mix_batch` documents."""
    train = constant(ClassificationAugmentation(mixup=Mixing(beta=0.8), cutmix=Mixing()))
    for view in range(12):
        plan = BatchPlan(np.arange(6), np.full(6, view))
        batch = only(train, plan)
        assert len(batch["mix"].unique()) == 1
        assert sorted((batch["mixed_target"] // 11).tolist()) == list(range(6))
