"""A teacher and a student of different input sizes see the same views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.datasets.augment import ClassificationAugmentation, ColorJitter
from densedistill.datasets.base import Batch, BatchPlan, EvalSet, TaskData, TrainSet
from densedistill.datasets.classification import ClassificationData, load_classification
from densedistill.datasets.erasing import RandomErasing
from densedistill.datasets.mixing import Mixing
from densedistill.datasets.normalisation import Normalisation
from densedistill.datasets.preparation import Sizes
from densedistill.datasets.resizing import resized

CPU = torch.device("cpu")
EVERYTHING = ClassificationAugmentation(
    crop_padding=2,
    auto_augment="cifar10",
    color_jitter=ColorJitter(),
    random_erasing=RandomErasing(probability=0.5),
    mixup=Mixing(beta=0.8),
    cutmix=Mixing(),
)
NORMALISATION = Normalisation(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
forks = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of noise of 40 x 44 pixels; a folder's own size counts as 224."""
    root = tmp_path_factory.mktemp("classes")
    generator = np.random.default_rng(0)
    for part, count in {"train": 12, "test": 3}.items():
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (40, 44, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number:02d}.png")
    return root


def load(root: Path | None, **options: object) -> TaskData:
    own = {} if root is None else {"name": "imagefolder", "root": root, "val_size": 4, "workers": 0}
    return load_classification(ClassificationData.model_validate({**own, "augmentation": EVERYTHING, **options}))


def batch_of(train: TrainSet, *, named: bool = False) -> Batch:
    plan = BatchPlan(np.arange(16), np.full(16, 3), named)
    return next(iter(train.batches([plan], seed=2, device=CPU)))


def same(first: Batch, second: Batch) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def by_pillow(inputs: torch.Tensor, size: int) -> torch.Tensor:
    """Pillow's bicubic, which antialiases, on floats."""
    planes = inputs.flatten(0, 1).numpy()
    sized = [np.array(Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC)) for plane in planes]
    return torch.from_numpy(np.stack(sized)).view(*inputs.shape[:2], size, size)


@pytest.mark.parametrize("size", [7, 12, 24, 31])
def test_resizing_is_pillow_s_bicubic_within_black_and_white(size: int) -> None:
    pixels = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)).round()
    inputs = NORMALISATION.apply(pixels)
    result = resized(inputs, size, NORMALISATION)
    wanted = by_pillow(pixels, size)
    assert wanted.max() > 1.01 or size <= 12  # bicubic overshoots beside edges
    torch.testing.assert_close(result, NORMALISATION.apply(wanted.clamp(0, 1)), atol=2e-5, rtol=0)


def test_an_image_that_has_the_size_is_left_alone() -> None:
    inputs = torch.randn(2, 3, 8, 8) * 9
    assert resized(inputs, 8, NORMALISATION) is inputs
    assert resized(inputs, None, NORMALISATION) is inputs


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("sizes", [(16, 32), (32, 16), (16, 64), (48, 64)])
def test_teacher_and_student_see_the_same_views(folder: Path, sizes: tuple[int, int], named: bool) -> None:
    student, teacher = sizes
    data = load(folder, input_size=student, teacher_size=teacher)
    alone, taught, teaching = (
        batch_of(data.for_arm(*who).train, named=named) for who in ((2, None), (2, 1), (1, None))
    )
    assert alone["input"].shape[-2:] == (student, student)
    assert same(alone, {key: value for key, value in taught.items() if key != "teacher_input"})
    assert taught["teacher_input"].shape[-2:] == (teacher, teacher)
    assert same(teaching, {**alone, "input": taught["teacher_input"]})
    smaller, larger = sorted((taught["input"], taught["teacher_input"]), key=lambda images: images.shape[-1])
    normalisation = Normalisation(mean=data.input_mean, std=data.input_std)
    torch.testing.assert_close(smaller, resized(larger, min(sizes), normalisation))
    assert float((alone["mix"] < 1).float().mean()) > 0.5


def test_a_view_is_the_same_in_any_batch_at_both_sizes(folder: Path) -> None:
    train = load(folder, input_size=16, teacher_size=40).for_arm(2, 1).train
    whole = batch_of(train, named=True)
    for place in (0, 7, 15):
        plan = BatchPlan(np.array([place]), np.array([3]), named=True)
        (alone,) = train.batches([plan], seed=2, device=CPU)
        assert same(alone, {key: value[place : place + 1] for key, value in whole.items()})


def test_small_images_are_enlarged_for_the_teacher() -> None:
    """The data set has no more than 16 pixels: the view is made there, and is what a plain run trains on."""
    data, plain = load(None, teacher_size=32), load(None)
    taught, alone = batch_of(data.for_arm(2, 1).train), batch_of(plain.train)
    assert torch.equal(taught["input"], alone["input"])
    normalisation = Normalisation(mean=data.input_mean, std=data.input_std)
    assert torch.equal(taught["teacher_input"], resized(alone["input"], 32, normalisation))
    ours, theirs = (next(iter(which.val.batches(8, device=CPU))) for which in (data.for_arm(1, None), plain))
    assert torch.equal(ours["input"], resized(theirs["input"], 32, normalisation))


def images_of(images: EvalSet) -> torch.Tensor:
    return torch.cat([batch["input"] for batch in images.batches(4, device=CPU)])


def test_less_detail_leaves_the_teacher_nothing_that_the_student_does_not_see(folder: Path) -> None:
    data = load(folder, input_size=16, teacher_size=40, detail=16)
    alone = load(folder, input_size=16)
    assert data.taught is not None
    assert data.teacher is not None
    batch = batch_of(data.taught.train)
    enlarged = resized(batch["input"], 40, data.train.options.normalisation)  # type: ignore[attr-defined]
    torch.testing.assert_close(batch["teacher_input"], enlarged)
    torch.testing.assert_close(batch["input"], batch_of(alone.train)["input"])
    small, large = images_of(data.val), images_of(data.teacher.val)
    torch.testing.assert_close(large, resized(small, 40, data.train.options.normalisation))  # type: ignore[attr-defined]
    assert not torch.allclose(large, images_of(load(folder, input_size=16, teacher_size=40).teacher.val))  # type: ignore[union-attr]
    assert any("16 pixels at most" in note for note in data.notes)


@pytest.mark.parametrize("budget", [0, 64])
def test_less_detail_than_a_student_s_input_is_enlarged_for_it(folder: Path, budget: int) -> None:
    """In training and in evaluation, from the views and images of an input that has the detail alone."""
    data = load(folder, input_size=32, detail=16, memory_budget_mb=budget)
    small = load(folder, input_size=16)
    normalisation = Normalisation(mean=small.input_mean, std=small.input_std)
    assert (data.input_mean, data.input_std) == (small.input_mean, small.input_std)
    wanted = resized(images_of(small.val), 32, normalisation)
    assert torch.equal(images_of(data.val), wanted)
    assert not torch.allclose(wanted, images_of(load(folder, input_size=32).val), atol=0.1)
    plain = ClassificationAugmentation(crop_padding=2)
    ours, theirs = (
        batch_of(load(folder, input_size=size, detail=16, augmentation=augmentation, memory_budget_mb=budget).train)
        for size, augmentation in ((32, plain.model_copy(update={"crop_padding": 4})), (16, plain))
    )
    assert torch.equal(ours["input"], resized(theirs["input"], 32, normalisation))


def test_a_larger_teacher_s_sizes_are_as_they_were_where_its_student_has_all_detail() -> None:
    sizes = Sizes(student=32, teacher=64, native=32, detail=32)
    assert (sizes.view, sizes.held(32), sizes.held(64)) == (32, 32, 32)
    assert Sizes(student=16, teacher=64, native=32, detail=32).view == 32
    assert Sizes(student=320, teacher=224, native=224).view == 320  # a folder's images may be larger than 224


@pytest.mark.parametrize("budget", [0, 64])
def test_either_is_evaluated_as_if_there_were_no_other(folder: Path, budget: int) -> None:
    data = load(folder, input_size=16, teacher_size=32, memory_budget_mb=budget)
    for which, size in ((data, 16), (data.for_arm(1, None), 32)):
        plain = load(folder, input_size=size)
        assert which.val.input_size == size == images_of(which.val).shape[-1]  # type: ignore[attr-defined]
        assert torch.equal(images_of(which.val), images_of(plain.val))
        assert torch.equal(images_of(which.tests["imagefolder"]), images_of(plain.tests["imagefolder"]))


@forks
def test_worker_views_are_those_of_memory_at_both_sizes(folder: Path) -> None:
    held = load(folder, input_size=16, teacher_size=32)
    streamed = load(folder, input_size=16, teacher_size=32, memory_budget_mb=0, workers=1)
    for who in ((1, None), (2, 1), (2, None)):
        assert same(batch_of(held.for_arm(*who).train), batch_of(streamed.for_arm(*who).train))


def test_which_arm_sees_what() -> None:
    """Only generation 1 has another size, and only its students see its input."""
    data = load(None, teacher_size=32)
    assert data.for_arm(1, None) is data.teacher
    assert data.for_arm(2, 1) is data.taught
    assert data.for_arm(3, 1) is data.taught
    assert data.for_arm(2, None) is data
    assert data.for_arm(3, 2) is data
    plain = load(None, teacher_size=16)
    assert {id(plain.for_arm(*who)) for who in ((1, None), (2, 1), (2, None), (3, 2))} == {id(plain)}
    assert any("teacher sees 32 pixels and its students 16" in note for note in data.notes)
    assert data.fingerprint == plain.fingerprint


def test_the_crop_s_padding_counts_in_the_student_s_pixels(folder: Path) -> None:
    """2 of 16 pixels are 4 of the view's 32; of white images, padding is all that is black."""
    shifts = ClassificationAugmentation(crop_padding=2, flip=False)
    data = load(folder, input_size=16, teacher_size=32, augmentation=shifts)
    train = data.for_arm(1, None).train
    train.pixels.fill_(255)  # type: ignore[attr-defined]
    plans = [BatchPlan(np.arange(16), np.full(16, view)) for view in range(20)]
    inputs = torch.cat([batch["input"] for batch in train.batches(plans, seed=0, device=CPU)])
    black = (inputs[:, 0] < 0).float()
    rows = black.mean(2).eq(1).sum(1)
    assert int(rows.max()) == 4
    assert len(rows.unique()) == 5
