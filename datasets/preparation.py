"""How a split's images are kept, and the sets that are made of them for a student and for a teacher of another size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from densedistill.datasets.augment import ClassificationAugmentation
from densedistill.datasets.base import EvalSet
from densedistill.datasets.decoding import stack
from densedistill.datasets.labelled import LabelledImages
from densedistill.datasets.memory import MemoryEvalSet, MemoryTrainSet, TrainingOptions
from densedistill.datasets.normalisation import Normalisation
from densedistill.datasets.workers import WorkerEvalSet, WorkerTrainSet


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Sides in pixels."""

    student: int
    teacher: int
    native: int
    """Of the images as the data set has them, or as they are reduced to before anything else."""
    detail: int | None = None
    """To which images are reduced before anything else: whatever input is larger is enlarged from there."""

    @property
    def view(self) -> int:
        """At which training views are made before they are resized for either network: the larger, if there is more
        to be seen there."""
        larger = max(self.student, min(self.teacher, self.native))
        return larger if self.detail is None else min(larger, self.detail)

    def held(self, size: int) -> int:
        """At which images are kept whose `input` has side `size`: beyond the views', nothing is gained."""
        return min(size, self.view)

    def notes(self) -> tuple[str, ...]:
        """What a reader of a figure must know."""
        resized = f"resized to {self.student} pixels (antialiased bicubic)"
        both = (
            f"the teacher sees {self.teacher} pixels and its students {self.student}: the same views, made at "
            f"{self.view} and resized (antialiased bicubic)"
        )
        return ((resized,) if self.student != self.native else ()) + ((both,) if self.teacher != self.student else ())


class Preparation:
    """Makes the sets of one split: of pixels in memory where they fit, else behind worker processes."""

    def __init__(
        self,
        train: LabelledImages,
        val: LabelledImages,
        tests: Mapping[str, LabelledImages],
        sizes: Sizes,
        normalisation: Normalisation,
        *,
        workers: int,
        memory_budget_mb: int,
    ) -> None:
        self.train, self.val, self.tests = train, val, tests
        self.sizes, self.normalisation, self.workers = sizes, normalisation, workers
        evaluated = len(val) + sum(map(len, tests.values()))
        sides = {sizes.held(size) for size in (sizes.student, sizes.teacher)}
        squares = len(train) * sizes.view**2 + evaluated * sum(side**2 for side in sides)
        self.in_memory = 3 * squares <= memory_budget_mb * 2**20
        self._pixels: dict[tuple[int, int], Tensor] = {}

    def training(self, augmentation: ClassificationAugmentation) -> MemoryTrainSet | WorkerTrainSet:
        """Views for an arm that learns alone, at the student's size."""
        scale = self.sizes.view / self.sizes.student
        options = TrainingOptions(
            augmentation=augmentation.model_copy(update={"crop_padding": round(augmentation.crop_padding * scale)}),
            normalisation=self.normalisation,
            input_size=self.sizes.student,
        )
        if self.in_memory:
            return MemoryTrainSet(self._stacked(self.train, self.sizes.view), self.train.labels, options)
        return WorkerTrainSet(self.train, self.sizes.view, options, self.workers)

    def evaluation(self, part: LabelledImages, size: int) -> EvalSet:
        """The images of `part` with an input of side `size`."""
        held = self.sizes.held(size)
        if self.in_memory:
            return MemoryEvalSet(self._stacked(part, held), part.labels, part.ids, self.normalisation, size)
        return WorkerEvalSet(part, held, self.normalisation, self.workers, size)

    def evaluations(self, size: int) -> dict[str, EvalSet]:
        """Every test set with an input of side `size`."""
        return {name: self.evaluation(test, size) for name, test in self.tests.items()}

    def _stacked(self, part: LabelledImages, size: int) -> Tensor:
        """(N, 3, size, size) uint8, made once."""
        key = (id(part), size)
        if key not in self._pixels:
            self._pixels[key] = stack(part.images.read, len(part), size)
        return self._pixels[key]
