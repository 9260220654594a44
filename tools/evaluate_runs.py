"""A finished arm scored again, by the same evaluation that its run was scored with."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from densedistill.datasets.classification import ClassificationData, input_sizes
from densedistill.datasets.edges import load_edge_tests, load_edges
from densedistill.datasets.roots import ROOT_VARIABLE, expanded
from densedistill.datasets.segmentation import SegmentationData, load_segmentation, load_segmentation_tests
from densedistill.datasets.super_resolution import (
    HELD_OUT,
    SuperResolutionData,
    load_super_resolution,
    load_super_resolution_tests,
)
from densedistill.distill.configuration.validation import validated
from densedistill.distill.data import EvalSet, TaskData
from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.evaluation import Evaluation
from densedistill.distill.evaluation import evaluate as score
from densedistill.distill.machine.runtime import resolve_device
from densedistill.distill.metrics import Curved, Metric
from densedistill.distill.prediction.views import Views
from densedistill.distill.spec import TaskSpec
from densedistill.tools.evaluate_output import document
from densedistill.tools.finished import FinishedArm, as_trained, check_classes, kind_of_views, open_arm
from densedistill.tools.messages import say

WHICH_IMAGES = frozenset({"root", "train", "val", "tests", "val_size", "limit"})
"""Data options that choose images: they belong to one data set. All others say how any image is prepared."""

TESTS_ALONE: Mapping[Callable[[Any], TaskData], Callable[[Any], TaskData]] = {
    load_super_resolution: load_super_resolution_tests,
    load_edges: load_edge_tests,
    load_segmentation: load_segmentation_tests,
}
"""What loads a task's data, and what loads its test images alone: a folder to be scored is scored whole, whatever its
images' sizes are, and nothing of it is held out."""


def rescore(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of an arm, by the same evaluation that the run was scored with.

    Raises:
        RequestError: the run, the arm or the data is not there, or they do not fit each other.
    """
    if options.task is not None:
        raise RequestError("--task is for --predictions: leave it out beside --run, which knows its task.")
    if options.scale is not None:
        raise RequestError(
            f"--scale {options.scale} is for --predictions: leave it out beside --run, whose network has its own."
        )
    if not options.thin:
        raise RequestError("--no-thin is for --predictions: leave it out beside --run, whose maps are always thinned.")
    device = resolve_device(options.device)
    arm = open_arm(Path(options.run), options.arm)
    spec = arm.resolved.spec
    kind = None if options.tta is None else kind_of_views(spec, options.tta)
    data, data_options = _data(arm, options)
    data_options = _with_nms(data_options, options.nms, spec)
    check_classes(arm, data)
    name, images = _images(data, options, spec.datasets)
    say(f"{arm.name} ({arm.record['network']}) on {options.split} of {name}, in fp32 on {device}")
    network = arm.on(device)

    def figures(views: Views | None, judge: Metric | None) -> Evaluation:
        return score(
            network,
            as_trained(images, data, arm.record),
            spec=spec,
            metric=spec.metric.make(data_options, data),
            benchmark=judge,
            device=device,
            batch_size=int(arm.record["recipe"]["batch_size"]),
            views=views,
        )

    judge = spec.benchmark(data_options, options.split, images)
    plain = figures(None, judge)
    found = document(spec.name, name, len(images.ids), plain.metrics, plain.per_image)
    if isinstance(judge, Curved):
        found["curve"] = judge.curve()
    if kind is not None:
        views = spec.test_time[kind]
        count = len(views(torch.zeros(1, 3, 32, 32)))
        again = figures(views, spec.benchmark(data_options, options.split, images))
        found["tta"] = {"kind": kind, "views": count, "metrics": dict(again.metrics)}
    return found


def _with_nms(data_options: BaseModel, nms: bool | None, spec: TaskSpec) -> BaseModel:
    """The data options with `--nms` or `--no-nms` in place of the run's own choice.

    Raises:
        RequestError: the task has no maps to suppress.
    """
    if nms is None:
        return data_options
    if "nms" not in type(data_options).model_fields:
        raise RequestError(f"--nms is for boundary maps, and task {spec.name} makes none: leave it out.")
    return data_options.model_copy(update={"nms": nms})


def _data(arm: FinishedArm, options: argparse.Namespace) -> tuple[TaskData, BaseModel]:
    """The run's own data, or the one that was asked for, with its options."""
    own = {arm.recorded_data.get("name"), *_own_tests(arm)}
    if options.data_root is None and (options.data is None or options.data in own):
        return _unless_changed(arm, arm.own_data()), arm.resolved.options
    chosen = other_options(arm, options.data, options.data_root)
    moved = options.data_root is not None and _moved(arm, options.data, options.data_root)
    if options.data is None:
        name = arm.recorded_data.get("name")
        say(f"taken for the run's own data, moved to {options.data_root}; --data {name} beside it names other images")
    load = arm.resolved.spec.load_data
    if options.split == "test" and load in TESTS_ALONE and not (moved and _split_again(arm)):
        data = TESTS_ALONE[load](chosen)
    else:
        data = arm.seen(load(chosen))
        if moved:
            _unless_changed(arm, data)
    for note in data.notes:
        say(note)
    return data, chosen


def _own_tests(arm: FinishedArm) -> tuple[str, ...]:
    """The names of the run's test sets."""
    return tuple(arm.recorded_data.get("tests", ()))


def _moved(arm: FinishedArm, name: str | None, root: str) -> bool:
    """Whether `name` below `root` is the run's own data, which then lies there; else it is other data.

    The run's data set by its name, at its own place, is no other data: its training images are to be left out.
    """
    if name is None or name != arm.resolved.config.data.get("name"):
        return name is None or name in _own_tests(arm)
    own_root = arm.resolved.config.data.get("root") or os.environ.get(ROOT_VARIABLE)
    return own_root is not None and expanded(own_root).resolve() == Path(root).resolve()


def _split_again(arm: FinishedArm) -> bool:
    """Whether the run's own test images, moved, are found by the split of all its images alone.

    Those of super-resolution lie in folders of their own, but for what was held out.
    """
    return not isinstance(arm.resolved.options, SuperResolutionData) or HELD_OUT in _own_tests(arm)


def _unless_changed(arm: FinishedArm, data: TaskData) -> TaskData:
    """`data`, which is to be the run's own; that it is not is said."""
    if data.fingerprint != arm.recorded_data.get("fingerprint", data.fingerprint):
        say("the data has changed since the run: its fingerprint is another one")
    return data


def other_options(arm: FinishedArm, name: str | None, root: str | None) -> BaseModel:
    """The run's data options with another data set, or with the run's own data set at another place.

    A root alone says that the data was moved, and so does a root with the name of one of the run's test sets: which
    images are chosen stays as it was. A root with the name of a data set is other data, also of the run's own kind.

    Raises:
        RequestError: the task has no such data set.
    """
    values = dict(arm.resolved.config.data)
    own = values.get("name")
    if name is not None and (root is None or not _moved(arm, name, root)):
        values = {key: value for key, value in values.items() if key not in WHICH_IMAGES}
        values["name"] = _data_set(arm, name, root)
    if values.get("name") != own:
        values |= _trained_at(arm.resolved.options)
    if isinstance(arm.resolved.options, SegmentationData) and values.get("classes") is None:
        # Not as many as the other images happen to show.
        values["classes"] = len(arm.record["classes"])
    if root is not None:
        values["root"] = str(Path(root).absolute())
    return validated(type(arm.resolved.options), values, "data")


def _data_set(arm: FinishedArm, name: str, root: str | None) -> str:
    """The data set that `name` belongs to: for super-resolution it may be a test set below `root`."""
    task = arm.resolved
    below = isinstance(task.options, SuperResolutionData) and root is not None and name not in task.spec.datasets
    return "folder" if below else name


def _trained_at(options: BaseModel) -> dict[str, int]:
    """The sides of the inputs that a run's arms were trained at, where another data set has sides of its own."""
    if not isinstance(options, ClassificationData):
        return {}
    sizes = input_sizes(options)
    return {"input_size": sizes.student, "teacher_size": sizes.teacher}


def _images(data: TaskData, options: argparse.Namespace, datasets: Sequence[str]) -> tuple[str, EvalSet]:
    """The images to score and their name: the named test set, or the first one of the data set that was named.

    Args:
        data: what was loaded.
        options: the command line.
        datasets: names that the task's data sets have.

    Raises:
        RequestError: there is no such test set.
    """
    if options.split == "val":
        return data.name, data.val
    if options.data in data.tests:
        return options.data, data.tests[options.data]
    if options.data not in (None, data.name, *datasets):
        raise RequestError(unknown_name("test set", options.data, {*data.tests, *datasets}))
    if not data.tests:
        raise RequestError(f"data '{data.name}' has no test images: give --split val.")
    name, *others = data.tests
    if others:
        say(f"scoring {name}; --data scores {' or '.join(others)}")
    return name, data.tests[name]
