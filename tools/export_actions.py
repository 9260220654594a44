"""What `export.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from densedistill import backbones
from densedistill.distill.data import TaskData
from densedistill.distill.errors import RequestError, RunFailedError, first_line
from densedistill.distill.files import replacing
from densedistill.distill.lessons.plan import Plan
from densedistill.tools.finished import FinishedArm, open_arm

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
COMPARED = 10
"""Images on which the file is compared with PyTorch."""
TOLERANCE = 1e-4
"""Largest absolute difference of any output value."""
CPU = torch.device("cpu")

Size = tuple[int, int]


def export(options: argparse.Namespace) -> int:
    """Write the arm's network as ONNX, compared with PyTorch before the file takes its name.

    Raises:
        RequestError: a package, the run or the arm is not there, or the size does not fit the network.
        RunFailedError: the file computes something else than the network.
    """
    _require_packages()
    arm = open_arm(Path(options.run), options.arm)
    multiple = backbones.size_multiple(arm.record["network"], arm.record["arguments"])
    fixed = None if options.input_size is None else _checked_size(options.input_size, multiple)
    images = list(islice(_cropped(sample_images(arm.own_data()), fixed, multiple), COMPARED))
    if not images:
        raise RequestError(
            f"no image of the run is as large as {_words(fixed)}: give a smaller --input-size to compare the file on."
        )
    free = fixed is None and _is_dense(arm.network, images[0])
    out = Path(options.out)
    try:
        with replacing(out) as temporary:
            _write(arm, images[0], multiple if free else None, temporary)
            difference = _checked_difference(arm, temporary, images)
    except OSError as error:
        raise RunFailedError(f"'{out}' cannot be written: {error.strerror or error}.") from error
    size = f"height and width free, multiples of {multiple}" if free else f"input size {_words(images[0].shape[-2:])}"
    print(f"{out}: {arm.name} ({arm.record['network']}), batch free, {size}")
    print(f"largest difference from PyTorch on {len(images)} images: {difference:.3g} (ONNX Runtime, fp32)")
    return 0


def _require_packages() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise RequestError(
            f"the export to ONNX needs {', '.join(missing)}: install with pip install 'densedistill[export]'."
        )


def _checked_size(size: Sequence[int], multiple: int) -> Size:
    height, width = size
    if min(size) < 1 or height % multiple or width % multiple:
        raise RequestError(
            f"--input-size {height} {width} does not fit the network: give positive multiples of {multiple}."
        )
    return height, width


# -- images to compare on -----------------------------------------------------------------------------------------


def sample_images(data: TaskData) -> Iterator[Tensor]:
    """Inputs (1, C, H, W) one by one: test images, then validation images, then views of training images."""
    for images in (*data.tests.values(), data.val):
        for batch in images.batches(1, device=CPU):
            yield batch["input"]
    places = range(min(len(data.train), COMPARED))
    plans = [Plan(images=np.array([place]), views=np.array([view])) for view in range(COMPARED) for place in places]
    for batch in data.train.batches(plans, seed=0, device=CPU):
        yield batch["input"]


def _cropped(images: Iterator[Tensor], size: Size | None, multiple: int) -> Iterator[Tensor]:
    """The middle of each image: `size`, or the largest whose sides are multiples; smaller images are left out."""
    for image in images:
        available = image.shape[-2:]
        height, width = size or (available[0] // multiple * multiple, available[1] // multiple * multiple)
        top, left = (available[0] - height) // 2, (available[1] - width) // 2
        if min(top, left) >= 0 and min(height, width) > 0:
            yield image[..., top : top + height, left : left + width]


@torch.inference_mode()
def _is_dense(network: nn.Module, image: Tensor) -> bool:
    """Whether the output is a map or an image, whose size follows the input's."""
    answer: Tensor = network(image)
    return answer.dim() == 4


# -- the file -----------------------------------------------------------------------------------------------------


def _write(arm: FinishedArm, image: Tensor, free_multiple: int | None, path: Path) -> None:
    """Write the graph and its metadata to `path`; `free_multiple` None fixes height and width at the image's."""
    dim = torch.export.Dim
    shape: dict[int, Any] = {0: dim("batch")}
    if free_multiple is not None:
        shape |= {2: free_multiple * dim("height"), 3: free_multiple * dim("width")}
    # Traced with two images and unequal sides: an exporter takes a length of one, or equal lengths, for constants.
    example = torch.cat([image, image])
    if free_multiple is not None:
        height = max(image.shape[-2] // free_multiple, 2) * free_multiple
        example = image.new_zeros(2, image.shape[1], height, height + free_multiple)
    with warnings.catch_warnings():
        # The exporter warns of its own internals, which a user can do nothing about.
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                arm.network,
                (example,),
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=(shape,),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            remedy = "" if free_multiple is None else "; try a fixed size with --input-size H W"
            first = first_line(error.__cause__ or error)
            raise RequestError(f"{arm.record['network']} cannot be exported ({first}){remedy}.") from error
    if program is None:
        raise RuntimeError("torch.onnx.export made no program")
    program.model.metadata_props.update(_metadata(arm))
    program.save(str(path))


def _metadata(arm: FinishedArm) -> dict[str, str]:
    """What a reader of the file needs: task, network, normalisation and classes; lists are JSON."""
    record = arm.record
    return {
        "task": arm.resolved.spec.name,
        "arm": arm.name,
        "network": record["network"],
        "input": "(pixel in [0, 1] - input_mean) / input_std, RGB",
        "input_mean": json.dumps(record["input_mean"]),
        "input_std": json.dumps(record["input_std"]),
        "classes": json.dumps(record["classes"]),
    }


def _checked_difference(arm: FinishedArm, path: Path, images: Sequence[Tensor]) -> float:
    difference = largest_difference(arm.network, path, images)
    # Not `difference > TOLERANCE`: not-a-number must fail too.
    if not difference <= TOLERANCE:
        raise RunFailedError(
            f"the exported file differs from {arm.name} by {difference:.3g} on the run's images, more than "
            f"{TOLERANCE:g}: nothing was written; try another --input-size or another version of onnxscript."
        )
    return difference


def largest_difference(network: nn.Module, path: Path, images: Sequence[Tensor]) -> float:
    """Largest absolute difference between the file's and the network's outputs; not-a-number where either has one."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    differences = []
    with torch.inference_mode():
        for image in images:
            output = torch.from_numpy(session.run(["output"], {"input": image.numpy()})[0])
            differences.append((output - network(image)).abs().max())
    return float(torch.stack(differences).max())


def _words(size: Sequence[int] | None) -> str:
    return "the network needs" if size is None else f"{size[0]}x{size[1]}"
