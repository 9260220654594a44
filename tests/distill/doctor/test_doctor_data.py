"""Duplicates are found whatever their size and compression, unlike images are not; classes are counted."""

from __future__ import annotations

import dataclasses
import io
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from densedistill.datasets.base import TaskData
from densedistill.distill.doctor.classes import check_classes
from densedistill.distill.doctor.duplicates import check_duplicates, difference_hashes, duplicates, prints
from densedistill.distill.doctor.finding import Finding, Status
from densedistill.distill.doctor.labels import best_order, check_label_order
from densedistill.distill.doctor.limits import Limits
from densedistill.distill.doctor.sample import HeldImages


def scene(seed: int, side: int = 64) -> Tensor:
    """An image (3, side, side) in [0, 1] with shapes of several sizes."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        interpolate(torch.rand(1, 3, cells, cells, generator=generator), size=(side, side), mode="bilinear")
        for cells in (3, 6, 12)
    ]
    image = torch.stack(layers).sum(0)[0]
    return (image - image.min()) / (image.max() - image.min())


def compressed(image: Tensor, quality: int = 40) -> Tensor:
    """Through JPEG and back."""
    buffer = io.BytesIO()
    Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(buffer, "jpeg", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float() / 255


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(image[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def test_the_hash_compares_neighbours() -> None:
    rising = torch.linspace(0, 1, 9).expand(3, 8, 9)
    hashes = difference_hashes(torch.stack([rising, rising.flip(-1)]))
    assert hashes.tolist() == [2**64 - 1, 0]
    first, second = difference_hashes(torch.stack([0.3 * scene(1) + 0.2, scene(1)]))
    assert first == second


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        compressed,
        lambda image: resized(image, (32, 32)),
        lambda image: resized(image, (90, 70)),
        lambda image: (image + 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(5))).clamp(0, 1),
        lambda image: (image + 0.02).clamp(0, 1),
    ],
    ids=["same", "jpeg", "smaller", "stretched", "noisy", "brighter"],
)
def test_an_image_is_recognised(change: object) -> None:
    assert callable(change)
    known = prints(scene(seed) for seed in range(40))
    others = prints([change(scene(17)), scene(100), change(scene(3)), scene(101)])
    assert duplicates(known, others) == [(17, 0), (3, 2)]


def test_unlike_images_are_not_found() -> None:
    assert (
        duplicates(prints(scene(seed) for seed in range(300)), prints(scene(seed) for seed in range(1000, 1300))) == []
    )


def test_images_that_show_nothing_are_not_compared() -> None:
    def sky(low: float, high: float) -> Tensor:
        return torch.linspace(low, high, 32).view(1, 32, 1).expand(3, 32, 32)

    assert duplicates(prints([sky(0.5, 0.5), sky(0.4, 0.6)]), prints([sky(0.5, 0.5), sky(0.42, 0.63)])) == []


def _shared(data: TaskData, tiny: ModuleType, count: int) -> TaskData:
    """`data` with `count` of its training images in the test set."""
    test = data.tests["tiny"]
    pixels = torch.cat([data.train.pixels[:count], test.pixels[count:]])  # type: ignore[attr-defined]
    return dataclasses.replace(data, tests={"tiny": tiny.TinyEval(pixels, test.targets, "test")})  # type: ignore[attr-defined]


@pytest.mark.parametrize(("count", "status"), [(0, "pass"), (1, "fail"), (5, "fail")])
def test_test_images_in_training(tiny: ModuleType, count: int, status: Status) -> None:
    data = _shared(tiny.make_data("cls", tiny.TinyOptions()), tiny, count)
    val, test = check_duplicates(data, Limits())
    assert (val.status, test.status) == ("pass", status)
    assert test.figures["duplicates"] == count
    assert test.figures["pairs"] == [[place, f"test{place}"] for place in range(count)]
    assert bool(test.remedy) == bool(count)


def test_few_in_many_are_a_warning(tiny: ModuleType) -> None:
    data = tiny.make_data("cls", tiny.TinyOptions(images=300))
    pixels = torch.cat([data.train.pixels[:1], torch.rand(99, 3, 8, 8, generator=torch.Generator().manual_seed(1))])
    many = tiny.TinyEval(pixels, torch.zeros(100, dtype=torch.int64), "test")
    assert check_duplicates(dataclasses.replace(data, tests={"tiny": many}), Limits())[1].status == "warn"


def test_normalised_inputs_are_compared_as_pixels(tiny: ModuleType) -> None:
    data = _shared(tiny.make_data("cls", tiny.TinyOptions()), tiny, 4)
    test = data.tests["tiny"]
    normalised = tiny.TinyEval((test.pixels - 0.4) / 0.3, test.targets, "test")  # type: ignore[attr-defined]
    shifted = dataclasses.replace(data, tests={"tiny": normalised}, input_mean=(0.4,) * 3, input_std=(0.3,) * 3)
    assert check_duplicates(shifted, Limits())[1].figures["duplicates"] == 4


def test_what_could_not_be_looked_at_is_said(tiny: ModuleType) -> None:
    data = tiny.make_data("cls", tiny.TinyOptions())
    ticking = iter(range(10**6))
    hurried = check_duplicates(data, Limits(until=20.0, clock=lambda: float(next(ticking))))
    assert all("of 48 training images" in finding.text and "48 of 48" not in finding.text for finding in hurried)
    hidden = dataclasses.replace(data, train=Hidden())
    assert [finding.status for finding in check_duplicates(hidden, Limits())] == ["skip"]


class Hidden:
    """A training set of augmented views alone."""

    def __len__(self) -> int:
        return 48

    def batches(self, *_given: object, **_named: object) -> object:
        """None."""
        return iter(())


# -- classes --------------------------------------------------------------------------------------------------------


def _counted(tiny: ModuleType, train: Tensor, val: Tensor) -> dict[str, Finding]:
    data = tiny.make_data("cls", tiny.TinyOptions())
    train_set = tiny.TinyTrain(torch.zeros(len(train), 3, 8, 8), train)
    train_set.labels = train
    changed = dataclasses.replace(data, train=train_set, val=tiny.TinyEval(torch.zeros(len(val), 3, 8, 8), val, "val"))
    return {finding.subject: finding for finding in check_classes(changed, Limits())}


def test_classes_are_counted(tiny: ModuleType) -> None:
    even = torch.arange(40) % 4
    found = _counted(tiny, even, even)
    assert {subject: finding.status for subject, finding in found.items()} == {
        "training": "pass",
        "validation": "pass",
        "test set tiny": "pass",
    }
    assert found["training"].figures["smallest"] == found["training"].figures["largest"] == 10


def test_a_missing_class_and_an_uneven_set(tiny: ModuleType) -> None:
    even, three = torch.arange(40) % 4, torch.arange(40) % 3
    uneven = torch.cat([torch.zeros(90, dtype=torch.int64), torch.arange(8) % 4])
    assert _counted(tiny, three, even)["training"].status == "fail"
    assert "'bright'" in _counted(tiny, three, even)["training"].text
    assert _counted(tiny, even, three)["validation"].status == "warn"
    assert _counted(tiny, uneven, even)["training"].status == "warn"
    assert _counted(tiny, even + 1, even)["training"].status == "fail"


def test_pixels_of_maps_of_classes_are_counted_but_for_those_without_one(tiny: ModuleType) -> None:
    maps = torch.arange(4).repeat(10, 8, 2)
    maps[:, 0] = 255
    found = _counted(tiny, torch.arange(40) % 4, maps)
    assert found["validation"].status == "pass"
    assert found["validation"].figures["pixels"] == 10 * 7 * 8
    assert "560 pixels of 4 classes, 140 to 140 of each" in found["validation"].text


def test_masks_without_a_positive_pixel(tiny: ModuleType) -> None:
    data = tiny.make_data("edges", tiny.TinyOptions())
    (sound,) = check_classes(data, Limits())
    assert sound.status == "pass"
    empty = tiny.TinyEval(data.val.pixels, torch.zeros_like(data.val.targets), "val")
    (found,) = check_classes(dataclasses.replace(data, val=empty), Limits())
    assert found.status == "fail"
    assert found.figures["empty"] == 12
    assert check_classes(tiny.make_data("sr", tiny.TinyOptions()), Limits()) == []


# -- the order of labels --------------------------------------------------------------------------------------------


def test_the_best_order_is_scipys_and_leaves_ties_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(10, generator=generator)
    predicted = torch.randint(10, (500,), generator=generator)
    assert torch.equal(best_order(predicted, order[predicted], 10), order)
    assert torch.equal(best_order(torch.tensor([0, 1]), torch.tensor([0, 1]), 5), torch.arange(5))


@pytest.mark.parametrize("accuracy", [0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("layout", ["sorted", "in turn", "mixed"])
def test_only_a_permuted_teacher_is_blamed(accuracy: float, layout: str) -> None:
    """A weak teacher is none whose labels are mixed up, in whichever order the images come."""
    generator = torch.Generator().manual_seed(int(accuracy * 10))
    target = torch.arange(800) % 10
    if layout != "in turn":
        target = target.sort().values if layout == "sorted" else target[torch.randperm(800, generator=generator)]
    right = torch.rand(800, generator=generator) < accuracy
    said = torch.where(right, target, torch.randint(10, (800,), generator=generator))
    names = [str(place) for place in range(10)]
    logits = torch.nn.functional.one_hot(said, 10).float()
    assert check_label_order("gen_01", logits, target, names).status == "pass"
    permuted = logits[:, (torch.arange(10) + 3) % 10]
    found = check_label_order("gen_01", permuted, target, names)
    assert found.status == ("fail" if accuracy > 0.1 else found.status)


def test_a_sample_is_drawn_from_all_of_a_set(tiny: ModuleType) -> None:
    pixels = torch.rand(100, 3, 8, 8)
    whole = tiny.TinyEval(pixels, torch.arange(100) // 10, "val")
    sample = HeldImages(whole, 40)
    batches = list(sample.batches(16, device=torch.device("cpu")))
    assert [len(batch["input"]) for batch in batches] == [16, 16, 8]
    index = torch.cat([batch["index"] for batch in batches])
    assert list(sample.ids) == [f"val{place}" for place in index]
    assert torch.equal(torch.cat([batch["input"] for batch in batches]), pixels[index])
    assert len(torch.cat([batch["target"] for batch in batches]).unique()) >= 9
    assert len(HeldImages(whole, 100).ids) == 100
    fewer = sample.fewer(10)
    (batch,) = fewer.batches(16, device=torch.device("cpu"))
    assert list(fewer.ids) == [f"val{place}" for place in batch["index"]]
    assert len(fewer.ids) == 10
    assert set(fewer.ids) < set(sample.ids)
    assert fewer.pixels == 10 * 64


def test_a_sample_of_which_only_a_part_could_be_read_is_known_to_be_none(tiny: ModuleType) -> None:
    whole = tiny.TinyEval(torch.rand(100, 3, 8, 8), torch.arange(100) // 10, "val")
    assert HeldImages(whole, 40, Limits()).complete
    ticking = iter(range(100))
    assert not HeldImages(whole, 40, Limits(until=5.0, clock=lambda: float(next(ticking)))).complete
