"""The plain row: distillation as people write it, in fp32, eager, contiguous, one image at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, singledispatch
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from densedistill.datasets.augment import ClassificationAugmentation
from densedistill.datasets.decoding import fit
from densedistill.datasets.dense import DenseTrain
from densedistill.datasets.dense_workers import DenseWorkerTrain
from densedistill.datasets.memory import MemoryTrainSet
from densedistill.datasets.normalisation import Normalisation
from densedistill.datasets.workers import WorkerTrainSet
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.features.taps import Tapped
from densedistill.distill.lessons.plan import Plan
from densedistill.distill.lessons.step import DistillationStep
from densedistill.distill.machine.runtime import round_convolutions
from densedistill.distill.objective import Objective
from densedistill.tools.benchmark_workload import Workload

Sample = dict[str, Any]
"""One image's entries of a batch."""

_ENDLESS = 10**9
"""Images in the sampler's epoch: starting a loader again is not part of a step."""


class PlainRow:
    """A torch DataLoader over a Python data set, a frozen teacher under `no_grad`, and `loss.item()` each step."""

    precision = "fp32"
    runs_teacher = True
    notes: tuple[str, ...] = ()

    def __init__(self, workload: Workload) -> None:
        pair = workload.pair()
        self.device = workload.device
        if self.device.type == "cuda":
            round_convolutions(to_tf32=True)  # PyTorch's default, as people leave it; our own runs switch it off
        self.teacher = Tapped(pair.teacher, pair.teacher_taps)
        objective = Objective(pair.terms)
        self.student = DistillationStep(pair.student, pair.student_taps, objective).to(workload.device)
        self.optimizer = plain_optimizer(workload.recipe, self.student)
        self.batches = iter(_loader(workload))

    def steps(self, count: int) -> None:
        """Take `count` steps."""
        for _ in range(count):
            batch = {name: value.to(self.device) for name, value in next(self.batches).items()}
            with torch.no_grad():
                taught = self.teacher(batch["input"])
            loss = self.student(batch, taught)["total"]
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()

    def close(self) -> None:
        """Let the loader's processes end."""
        del self.batches


def plain_optimizer(recipe: Recipe, module: torch.nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser as its constructor makes it."""
    trainable = [value for value in module.parameters() if value.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(trainable, rate, momentum=recipe.momentum, weight_decay=decay, nesterov=recipe.nesterov)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(trainable, rate, weight_decay=decay)


def _loader(workload: Workload) -> Iterator[Any]:
    samples = plain_samples(workload.train)
    return iter(
        DataLoader(
            samples,
            batch_size=workload.batch_size,
            sampler=RandomSampler(samples, replacement=True, num_samples=_ENDLESS),  # type: ignore[arg-type]
            num_workers=workload.workers,
            persistent_workers=workload.workers > 0,
        )
    )


@dataclass(frozen=True)
class LabelledSamples(Dataset[Sample]):
    """Images as PIL has them, through torchvision's transforms."""

    read: Callable[[int], Tensor]
    """The image at a place: (3, height, width) uint8, in main memory. Loaders' processes call it: no GPU is theirs."""
    labels: Tensor
    """(N,) int64, in main memory."""
    transform: Any

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> Sample:
        image = Image.fromarray(self.read(place).permute(1, 2, 0).contiguous().numpy())
        return {"input": self.transform(image), "target": int(self.labels[place]), "index": place}


@dataclass(frozen=True)
class DenseSamples(Dataset[Sample]):
    """Pairs cropped and flipped as arrays."""

    train: DenseTrain | DenseWorkerTrain

    def __len__(self) -> int:
        return len(self.train)

    def __getitem__(self, place: int) -> Sample:
        train = self.train
        if isinstance(train, DenseTrain):
            source, target = train.inputs[place], train.targets[place]
        else:
            source, target = train.files.read(place)
        side, scale = train.crop, train.scale
        top, left = random.randint(0, source.shape[1] - side), random.randint(0, source.shape[2] - side)
        source = source[:, top : top + side, left : left + side]
        target = target[:, top * scale : (top + side) * scale, left * scale : (left + side) * scale]
        if train.symmetry == "dihedral":
            turns = random.randint(0, 3)
            source, target = np.rot90(source, turns, axes=(1, 2)), np.rot90(target, turns, axes=(1, 2))
        if train.symmetry != "none" and random.random() < 0.5:
            source, target = source[:, :, ::-1], target[:, :, ::-1]
        image = transforms.functional.normalize(_unit(source), train.mean, train.std)
        return {"input": image, "target": _unit(target), "index": place}


@dataclass(frozen=True)
class SingleViews(Dataset[Sample]):
    """Another task's own views, one at a time."""

    train: Any

    def __len__(self) -> int:
        return len(self.train)

    def __getitem__(self, place: int) -> Sample:
        plan = Plan(np.array([place]), np.array([random.getrandbits(31)]))
        batch = next(iter(self.train.batches([plan], seed=0, device=torch.device("cpu"))))
        return {name: value[0] for name, value in batch.items()}


@singledispatch
def plain_samples(train: Any) -> Dataset[Sample]:
    """A training set one image at a time, as its kind is usually written."""
    return SingleViews(train)


@plain_samples.register
def _(train: MemoryTrainSet) -> Dataset[Sample]:
    # The set itself lies where a batch was last asked for: on the GPU, once the pair is assembled.
    transform = plain_transform(train.options.augmentation, train.options.normalisation, train.pixels.shape[-1])
    return LabelledSamples(partial(_held, train.pixels.cpu()), train.labels.cpu(), transform)


@plain_samples.register
def _(train: WorkerTrainSet) -> Dataset[Sample]:
    transform = plain_transform(train.options.augmentation, train.options.normalisation, train.size)
    return LabelledSamples(partial(_fitted, train), train.labels, transform)


@plain_samples.register(DenseTrain)
@plain_samples.register(DenseWorkerTrain)
def _(train: DenseTrain | DenseWorkerTrain) -> Dataset[Sample]:
    return DenseSamples(train)


def plain_transform(options: ClassificationAugmentation, normalisation: Normalisation, size: int) -> Any:
    """torchvision's crop, flip, colour jitter, `ToTensor` and `Normalize` at the strengths of `options`."""
    steps: list[Any] = []
    if options.crop_padding:
        steps.append(transforms.RandomCrop(size, padding=options.crop_padding))
    if options.flip:
        steps.append(transforms.RandomHorizontalFlip())
    if (jitter := options.color_jitter) is not None:
        steps.append(transforms.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue))
    return transforms.Compose(
        [*steps, transforms.ToTensor(), transforms.Normalize(normalisation.mean, normalisation.std)]
    )


def _held(pixels: Tensor, place: int) -> Tensor:
    return pixels[place]


def _fitted(train: WorkerTrainSet, place: int) -> Tensor:
    return fit(train.images.images.read(place), train.size)


def _unit(planes: np.ndarray) -> Tensor:
    return torch.from_numpy(planes.copy()).float().div(255)
