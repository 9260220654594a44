"""The benchmark's rows do the work they claim: the same step, other people's way and the fastest way."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from densedistill.datasets.dense import DenseTrain
from densedistill.datasets.memory import MemoryTrainSet
from densedistill.distill.errors import RequestError
from densedistill.distill.lessons.step import DistillationStep
from densedistill.distill.objective import Objective
from densedistill.distill.outputs import Prediction
from densedistill.tools import benchmark_plain
from densedistill.tools.benchmark_floor import FloorRow, faster
from densedistill.tools.benchmark_plain import DenseSamples, PlainRow, SingleViews, plain_samples
from densedistill.tools.benchmark_request import BenchmarkRequest
from densedistill.tools.benchmark_rows import applicable
from densedistill.tools.benchmark_timm import TimmRow
from densedistill.tools.benchmark_workload import Workload, prepare

CPU = torch.device("cpu")
SMALL = BenchmarkRequest(
    task="cls",
    teacher="cifar/resnet14",
    student="cifar/resnet8",
    image_size=16,
    batch_size=4,
    images=16,
    classes=5,
    workers=0,
    compile=False,
    device="cpu",
    precision="fp32",
)


@pytest.fixture(scope="module")
def small() -> Workload:
    return prepare(SMALL)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(module.state_dict())


def changed(before: dict[str, Tensor], module: nn.Module) -> bool:
    return any(not torch.equal(value, module.state_dict()[name]) for name, value in before.items())


# -- the workload -------------------------------------------------------------------------------------------------


def test_every_process_makes_the_same_pair(small: Workload) -> None:
    first, second = small.pair(), prepare(SMALL).pair()
    assert not changed(weights(first.teacher), second.teacher)
    assert not changed(weights(first.student), second.student)
    assert (first.teacher.training, first.student.training) == (False, True)


def test_a_pair_has_the_terms_of_all_methods(small: Workload) -> None:
    both = prepare(dataclasses.replace(SMALL, settings=(("method.also", {"at": {"weight": 500.0}}),))).pair()
    alone = small.pair()
    assert [(term.name, term.weight) for term in both.terms] == [
        *((term.name, term.weight) for term in alone.terms),
        ("at", 500.0),
    ]
    assert alone.student_taps == ()
    assert both.student_taps


def test_synthetic_images_have_the_task_s_shapes_and_classes(small: Workload) -> None:
    batch = small.sample(8)
    assert batch["input"].shape == (8, 3, 16, 16)
    assert batch["target"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    dense = prepare(BenchmarkRequest(task="sr", image_size=12, images=2, student="attention-sr")).sample(2)
    assert (dense["input"].shape, dense["target"].shape) == ((2, 3, 12, 12), (2, 3, 48, 48))


def test_batches_have_no_end(small: Workload) -> None:
    batches = small.batches()
    seen = torch.stack([next(batches)["index"] for _ in range(8)])
    assert sorted(seen.flatten().tolist()) == sorted([*range(16)] * 2)
    batches.close()


def test_rows_follow_from_the_task(small: Workload) -> None:
    dense = prepare(BenchmarkRequest(task="edges", image_size=32, images=2, batch_size=2))
    assert applicable(None, small) == ("plain", "timm", "ours", "ours_cached", "student", "floor")
    assert applicable(["teacher"], small) == ("teacher",)
    assert applicable(["floor", "plain"], small) == ("plain", "floor")
    assert "timm" not in applicable(None, dense)
    with pytest.raises(RequestError, match="task 'edges' is dense"):
        applicable(["timm"], dense)
    with pytest.raises(RequestError, match="Did you mean 'plain'"):
        applicable(["plian"], small)


# -- the rows ------------------------------------------------------------------------------------------------------


def test_plain_row_trains_the_student_alone_contiguous_in_fp32(small: Workload) -> None:
    row = PlainRow(small)
    student, teacher = weights(row.student), weights(row.teacher.network)
    row.steps(2)
    assert changed(student, row.student)
    assert not changed(teacher, row.teacher.network)
    weight = next(value for value in row.student.parameters() if value.ndim == 4)
    assert weight.is_contiguous()
    assert weight.dtype == torch.float32


def test_timm_row_minimises_the_same_loss(small: Workload) -> None:
    """timm's loss on a batch is the method's own at the same α and T."""
    row, pair, batch = TimmRow(small), small.pair(), small.sample(4)
    assert not row.task.teacher.training
    theirs = row.task(batch["input"], batch["target"])["loss"]
    with torch.no_grad():
        taught = Prediction(output=pair.teacher(batch["input"]), taps={})
    ours = DistillationStep(pair.student, (), Objective(pair.terms))(batch, taught)["total"]
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-6)
    student, teacher = weights(row.task.trainable_module), weights(row.task.teacher)
    row.steps(1)
    assert changed(student, row.task.trainable_module)
    assert not changed(teacher, row.task.teacher)
    row.close()


def test_floor_s_teacher_answers_as_the_plain_one(small: Workload) -> None:
    row = FloorRow(small)
    with torch.no_grad():
        plain = small.teacher()(row.batch["input"])
    torch.testing.assert_close(row.answer().output, plain, rtol=1e-4, atol=1e-5)
    before = [value.detach().clone() for group in row.optimizer.param_groups for value in group["params"]]
    row.steps(1)
    after = [value for group in row.optimizer.param_groups for value in group["params"]]
    assert not all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_floor_keeps_the_taps_that_the_losses_read() -> None:
    request = BenchmarkRequest(
        task="sr",
        teacher="swinir",
        student="attention-sr",
        image_size=8,
        images=2,
        batch_size=2,
        compile=False,
        device="cpu",
        precision="bf16",
        settings=(("networks.0.arguments", {"width": 12, "depths": [1]}), ("networks.1.arguments", {"width": 8})),
    )
    row = FloorRow(prepare(request))
    row.steps(1)
    assert {path: tap.dtype for path, tap in row.answer().taps.items()} == {"conv_after_body": torch.bfloat16}


def test_floor_takes_the_faster_way_and_says_which_failed() -> None:
    def broken() -> None:
        raise RuntimeError("no compiler\nand a long trace")

    slow: Callable[[], object] = lambda: torch.mm(torch.ones(600, 600), torch.ones(600, 600))  # noqa: E731
    choice = faster({"slow": slow, "fast": lambda: None, "broken": broken}, CPU)
    assert choice.name == "fast"
    assert "broken failed: no compiler)" in choice.note
    with pytest.raises(RuntimeError, match="no compiler"):
        faster({"broken": broken, "fast": lambda: None}, CPU)


# -- the plain pipeline --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetry", ["none", "flip", "dihedral"])
def test_plain_pairs_stay_aligned(symmetry: str) -> None:
    """Each pixel's value names its place, so target and input agree wherever the crop falls and however it turns."""
    places = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    train = DenseTrain(
        inputs=[places.repeat(3, axis=0)],
        targets=[places.repeat(2, axis=1).repeat(2, axis=2)],
        crop=4,
        scale=2,
        symmetry=symmetry,  # type: ignore[arg-type]
    )
    samples = plain_samples(train)
    assert isinstance(samples, DenseSamples)
    corners = set()
    for _ in range(40):
        sample = samples[0]
        assert torch.equal(sample["input"][:1].repeat_interleave(2, 1).repeat_interleave(2, 2), sample["target"])
        corners.add(round(float(sample["input"][0, 0, 0]) * 255))
    assert len(corners) > 10


def test_plain_images_are_normalised_as_ours(small: Workload) -> None:
    """Without crop or flip, a plain sample is our own batch's image."""
    settings = (("data.augmentation", {"crop_padding": 0, "flip": False}),)
    request = BenchmarkRequest(
        task="cls", teacher="cifar/resnet14", student="cifar/resnet8", image_size=16, images=4, settings=settings
    )
    workload = prepare(request)
    sample = plain_samples(workload.data.train)[1]
    ours = workload.sample(2)
    torch.testing.assert_close(sample["input"], ours["input"][1], rtol=1e-5, atol=1e-5)
    assert sample["target"] == ours["target"][1]


class _Away(Tensor):
    """As a tensor on a GPU is for a loader's process: of no use until it is copied."""

    def cpu(self) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor)

    def numpy(self, *, force: bool = False) -> np.ndarray:
        raise TypeError("cannot convert a tensor on a GPU to numpy")

    def __int__(self) -> int:
        raise RuntimeError("cannot re-initialize CUDA in forked subprocess")


def test_plain_images_are_read_from_main_memory(small: Workload) -> None:
    """Assembling the pair takes a batch, and with it the whole set to the GPU."""
    train = prepare(SMALL).data.train
    assert isinstance(train, MemoryTrainSet)
    train._held.pixels, train._held.labels = train.pixels.as_subclass(_Away), train.labels.as_subclass(_Away)
    sample, here = plain_samples(train)[1], small.data.train
    assert isinstance(here, MemoryTrainSet)
    assert sample["input"].shape == (3, 16, 16)
    assert sample["target"] == int(here.labels[1])


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_the_plain_row_leaves_convolutions_as_pytorch_has_them(
    kind: str, small: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bool] = []
    monkeypatch.setattr(benchmark_plain, "round_convolutions", lambda *, to_tf32: said.append(to_tf32))
    pair = small.pair()
    monkeypatch.setattr(Workload, "pair", lambda _workload: pair)
    monkeypatch.setattr(nn.Module, "to", lambda module, _device: module)
    PlainRow(dataclasses.replace(small, device=torch.device(kind)))
    assert said == ([True] if kind == "cuda" else [])


def test_sets_of_other_tasks_are_read_view_by_view() -> None:
    class Own:
        def __len__(self) -> int:
            return 3

        def batches(self, plans: object, *, seed: int, device: torch.device) -> object:
            return iter([{"input": torch.full((1, 3, 2, 2), float(seed)), "target": torch.ones(1)}])

    samples = plain_samples(Own())
    assert isinstance(samples, SingleViews)
    assert samples[2]["input"].shape == (3, 2, 2)
