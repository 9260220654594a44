"""A finished arm of a run with everything needed to use it again: its network, its task and its data options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from densedistill.distill.configuration.config import Resolved
from densedistill.distill.data import EvalSet, TaskData
from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.outputs import Batch
from densedistill.distill.run_dir import RunDir
from densedistill.distill.spec import TaskSpec
from densedistill.distill.student import finished_arm, load_student
from densedistill.tasks.request import RunRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedArm:
    """An arm that is done."""

    name: str
    network: nn.Module
    """On the CPU, in evaluation mode."""
    record: Mapping[str, Any]
    """The content of arm.json."""
    resolved: Resolved
    """The run's task and configuration."""
    recorded_data: Mapping[str, Any]
    """What result.json says of the run's data."""

    def own_data(self) -> TaskData:
        """The data of the run, loaded again, as the arm takes it."""
        return self.seen(self.resolved.spec.load_data(self.resolved.options))

    def on(self, device: torch.device) -> nn.Module:
        """The network moved to `device`, in the layout that the run was evaluated in: another sums in another order."""
        moved: nn.Module = self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved

    def seen(self, data: TaskData) -> TaskData:
        """`data` with the input size of the arm's generation."""
        return data.for_arm(int(self.record["generation"]), None)


def open_arm(run: Path, arm: str | None) -> FinishedArm:
    """The arm `arm` of the run in folder `run`; None stands for the last generation that was distilled.

    Raises:
        RequestError: no run there, no such finished arm, its record or the run's result is damaged, or its task is not
            to be had.
    """
    run_dir = RunDir(run)
    name = finished_arm(run_dir, arm)
    resolved = RunRequest(config=run_dir.config_file).resolve()
    return FinishedArm(
        name=name,
        network=load_student(run, name),
        record=run_dir.arm(name).record("teacher", "classes", "input_mean", "input_std", "recipe"),
        resolved=resolved,
        recorded_data=run_dir.result().get("data", {}) if run_dir.result_file.is_file() else {},
    )


def kind_of_views(spec: TaskSpec, asked: str) -> str:
    """The kind of test-time augmentation that is asked for; the task's first where no name is given.

    Raises:
        RequestError: the task has none, or none of this name.
    """
    if not spec.test_time:
        raise RequestError(f"task {spec.name} has no test-time augmentation: leave --tta out.")
    if asked and asked not in spec.test_time:
        raise RequestError(unknown_name(f"kind of views of task {spec.name}", asked, spec.test_time))
    return asked or next(iter(spec.test_time))


def check_classes(arm: FinishedArm, data: TaskData) -> None:
    """Refuse data whose classes are not the ones the arm was trained to tell.

    Raises:
        RequestError: with both numbers of classes.
    """
    known, given = tuple(arm.record["classes"]), tuple(data.classes)
    if known != given:
        raise RequestError(
            f"{arm.name} tells {len(known)} classes, and data '{data.name}' has {len(given)} classes that are not the "
            "same: give data with the classes of the run."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AsTrained:
    """Evaluation images, normalised as an arm was trained and not as their own data set is."""

    images: EvalSet
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    @property
    def ids(self) -> Sequence[str]:
        """A name for each image."""
        return self.images.ids

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """The images' batches with another `input`."""
        scale, shift = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (self.scale, self.shift))
        for batch in self.images.batches(batch_size, device=device):
            adapted: Tensor = batch["input"] * scale + shift
            yield {**batch, "input": adapted}


def as_trained(images: EvalSet, data: TaskData, record: Mapping[str, Any]) -> EvalSet:
    """`images` of `data`, normalised with the mean and deviation in an arm's record; unchanged where they agree."""
    mean, std = tuple(record["input_mean"]), tuple(record["input_std"])
    if (mean, std) == (tuple(data.input_mean), tuple(data.input_std)):
        return images
    scale = tuple(theirs / ours for theirs, ours in zip(data.input_std, std, strict=True))
    shift = tuple((theirs - ours) / spread for theirs, ours, spread in zip(data.input_mean, mean, std, strict=True))
    return AsTrained(images=images, scale=scale, shift=shift)
