"""What `evaluate.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from densedistill.datasets.base import TaskData as LoadedData
from densedistill.datasets.dense import DenseTrain
from densedistill.datasets.pixels import read_rgb, to_planes
from densedistill.datasets.roots import data_root
from densedistill.datasets.sr_sources import HrImage, find_images
from densedistill.datasets.super_resolution import SuperResolutionData, super_resolution_tests
from densedistill.distill.data import EvalSet, TaskData
from densedistill.distill.errors import RequestError, unknown_name
from densedistill.distill.evaluation import Evaluation
from densedistill.distill.evaluation import evaluate as score
from densedistill.distill.metrics import ImageQuality
from densedistill.distill.run_dir import SCHEMA
from densedistill.distill.runtime import resolve_device
from densedistill.distill.spec import TaskSpec
from densedistill.distill.test_time import Views
from densedistill.distill.validation import validated
from densedistill.tools.finished import FinishedArm, as_trained, check_classes, open_arm

WHICH_IMAGES = frozenset({"root", "train", "val", "tests", "val_size", "limit"})
"""Data options that choose images: they belong to one data set. All others say how any image is prepared."""


def evaluate(options: argparse.Namespace) -> int:
    """Score what `options` names and print the figures."""
    found = rescore(options) if options.run is not None else score_predictions(options)
    if options.json:
        print(json.dumps(found, allow_nan=False))
        return 0
    table = Table("metric", "value", title=f"{found['task']}: {found['images']} images of {found['data']}")
    for name, value in found["metrics"].items():
        table.add_row(name, f"{value:.6g}")
    for name, value in found.get("tta", {}).get("metrics", {}).items():
        table.add_row(f"{name}, mean of {found['tta']['views']} views ({found['tta']['kind']})", f"{value:.6g}")
    Console().print(table)
    return 0


def say(message: str) -> None:
    """A message to stderr; stdout is for figures alone."""
    print(f"densedistill: {message}", file=sys.stderr)


# -- an arm of a run ----------------------------------------------------------------------------------------------


def rescore(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of an arm, by the same evaluation that the run was scored with.

    Raises:
        RequestError: the run, the arm or the data is not there, or they do not fit each other.
    """
    if options.task is not None:
        raise RequestError("--task is for --predictions: leave it out beside --run, which knows its task.")
    device = resolve_device(options.device)
    arm = open_arm(Path(options.run), options.arm)
    spec = arm.resolved.spec
    kind = None if options.tta is None else _kind_of_views(spec, options.tta)
    data, data_options = _data(arm, options)
    check_classes(arm, data)
    name, images = _images(data, options)
    say(f"{arm.name} ({arm.record['network']}) on {options.split} of {name}, in fp32 on {device}")
    # The layout that the run was evaluated in: another one sums in another order.
    network = arm.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def figures(views: Views | None) -> Evaluation:
        return score(
            network,
            as_trained(images, data, arm.record),
            spec=spec,
            metric=spec.metric.make(data_options, data),
            device=device,
            batch_size=int(arm.record["recipe"]["batch_size"]),
            views=views,
        )

    plain = figures(None)
    document = _document(spec.name, name, len(images.ids), plain.metrics, plain.per_image)
    if kind is not None:
        views = spec.test_time[kind]
        count = len(views(torch.zeros(1, 3, 32, 32)))
        document["tta"] = {"kind": kind, "views": count, "metrics": dict(figures(views).metrics)}
    return document


def _kind_of_views(spec: TaskSpec, asked: str) -> str:
    """The kind of test-time augmentation that is asked for; the task's first where no name is given.

    Raises:
        RequestError: the task has none, or none of this name.
    """
    if not spec.test_time:
        raise RequestError(f"task {spec.name} has no test-time augmentation: leave --tta out.")
    if asked and asked not in spec.test_time:
        raise RequestError(unknown_name(f"kind of views of task {spec.name}", asked, spec.test_time))
    return asked or next(iter(spec.test_time))


def _data(arm: FinishedArm, options: argparse.Namespace) -> tuple[TaskData, BaseModel]:
    """The run's own data, or the one that was asked for, with its options."""
    own = {arm.recorded_data.get("name"), *arm.recorded_data.get("tests", ())}
    if options.data_root is None and (options.data is None or options.data in own):
        data = arm.own_data()
        if data.fingerprint != arm.recorded_data.get("fingerprint", data.fingerprint):
            say("the data has changed since the run: its fingerprint is another one")
        return data, arm.resolved.options
    chosen = other_options(arm, options.data, options.data_root)
    if options.split == "test" and isinstance(chosen, SuperResolutionData):
        return _tests_alone(chosen), chosen
    return arm.seen(arm.resolved.spec.load_data(chosen)), chosen


def other_options(arm: FinishedArm, name: str | None, root: str | None) -> BaseModel:
    """The run's data options with another data set, or with the run's own data set at another place.

    Raises:
        RequestError: the task has no such data set.
    """
    values = dict(arm.resolved.config.data)
    if name is not None and name != values.get("name"):
        values = {key: value for key, value in values.items() if key not in WHICH_IMAGES} | {"name": name}
    if root is not None:
        values["root"] = str(Path(root).absolute())
    return validated(type(arm.resolved.options), values, "data")


def _tests_alone(options: SuperResolutionData) -> LoadedData:
    """Test sets without training images: a folder to be scored is scored whole, and nothing of it held out."""
    tests = super_resolution_tests(options)
    return LoadedData(
        name=options.name,
        train=DenseTrain(inputs=(), targets=(), crop=1),
        val=next(iter(tests.values())),
        tests=tests,
        fingerprint="",
    )


def _images(data: TaskData, options: argparse.Namespace) -> tuple[str, EvalSet]:
    """The images to score and their name: the named test set, else the first one."""
    if options.split == "val":
        return data.name, data.val
    if options.data in data.tests:
        return options.data, data.tests[options.data]
    if not data.tests:
        raise RequestError(f"data '{data.name}' has no test images: give --split val.")
    name, *others = data.tests
    if others:
        say(f"scoring {name}; --data scores {' or '.join(others)}")
    return name, data.tests[name]


# -- predictions of any origin ------------------------------------------------------------------------------------


def score_predictions(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of super-resolved images that lie as PNG files in a folder.

    Raises:
        RequestError: the task has no such form, or a prediction is missing or of another size.
        DataError: an image is missing or unreadable.
    """
    if options.task == "edges":
        raise RequestError(
            "scoring folders of edge maps is not available yet: --predictions takes --task sr, and --run scores the "
            "edge networks of a run."
        )
    if options.task != "sr":
        raise RequestError(unknown_name("task of --predictions", str(options.task), ["sr"]))
    belonging = ((options.arm, "--arm"), (options.split == "val" or None, "--split val"), (options.tta, "--tta"))
    for given, name in belonging:
        if given is not None:
            raise RequestError(f"{name} belongs to a run: leave it out beside --predictions.")
    name = options.data or "folder"
    root = data_root(None if options.data_root is None else Path(options.data_root), name)
    metric = ImageQuality(options.scale)
    truths = find_images(root, "." if name == "folder" else name)
    _require_all(Path(options.predictions), truths)
    for truth in truths:
        prediction, target = _pair(Path(options.predictions) / f"{truth.name}.png", truth, options.scale)
        metric.update(prediction, {"target": target})
    names = [truth.name for truth in truths]
    per_image = dict(zip(names, metric.per_image(), strict=True))
    return _document("sr", name, len(names), metric.compute(), per_image)


def _require_all(folder: Path, truths: list[HrImage]) -> None:
    if not folder.is_dir():
        raise RequestError(f"the folder of predictions '{folder}' does not exist: give --predictions DIR.")
    missing = [truth.name for truth in truths if not (folder / f"{truth.name}.png").is_file()]
    if missing:
        raise RequestError(
            f"'{folder}' lacks {len(missing)} of {len(truths)} predictions ({', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}): put one PNG for each true image there, under its name."
        )


def _pair(path: Path, truth: HrImage, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Prediction and truth, both (1, 3, H, W) in [0, 1]; the truth is cropped top-left to the prediction's size.

    Raises:
        RequestError: the sizes differ by more than what reducing by `scale` drops.
    """
    prediction, target = read_rgb(path), read_rgb(truth.path)
    if truth.crop is not None:
        target = target[: truth.crop[0], : truth.crop[1]]
    (height, width), (full_height, full_width) = prediction.shape[:2], target.shape[:2]
    if not (0 <= full_height - height < scale and 0 <= full_width - width < scale):
        raise RequestError(
            f"prediction '{path}' has {width}x{height} pixels and its true image {full_width}x{full_height}: give "
            f"images of the true size, less the last {scale - 1} rows and columns at most."
        )
    pair = (torch.from_numpy(to_planes(pixels))[None].float() / 255 for pixels in (prediction, target[:height, :width]))
    return next(pair), next(pair)


def _document(
    task: str,
    data: str,
    images: int,
    metrics: Mapping[str, float],
    per_image: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """The figures as contract.md has them, schema 1."""
    return {
        "schema": SCHEMA,
        "task": task,
        "data": data,
        "images": images,
        "metrics": dict(metrics),
        "per_image": {name: dict(figures) for name, figures in per_image.items()},
    }
