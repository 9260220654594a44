"""What `predict.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from densedistill.backbones import NetworkError
from densedistill.datasets.base import DataError
from densedistill.datasets.pixels import read_upright
from densedistill.distill.errors import RequestError, RunFailedError
from densedistill.distill.machine.runtime import resolve_device
from densedistill.distill.prediction.application import Outcome
from densedistill.distill.prediction.views import Views
from densedistill.tools.finished import FinishedArm, kind_of_views, open_arm
from densedistill.tools.messages import bar, say
from densedistill.tools.predict_inputs import Input, find_inputs, listed, refuse_shared_pictures
from densedistill.tools.predict_network import Applied, applied
from densedistill.tools.predict_outputs import Answers, endings

BATCH_PIXELS = 2**20
"""Most input pixels of images that are held at once; a larger image is alone."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An image that was read."""

    file: Input
    pixels: np.ndarray | None
    """(H, W, 3) uint8, upright; None where one network alone is applied, which needs `image` and no more."""
    image: Tensor
    """(3, h, w) in [0, 1], as the network is shown it."""


def predict(options: argparse.Namespace) -> int:
    """Predict for every input and write the answers.

    Raises:
        RequestError: the run, the arm, its teacher or an input is not there, or an option does not fit the task.
        RunFailedError: some files could not be read, or are no input for the network, after all others were done; or
            an answer cannot be written.
    """
    if options.batch_size < 1:
        raise RequestError(f"batch size {options.batch_size} is not 1 or more: give --batch-size 1 or more.")
    device, output = resolve_device(options.device), Path(options.output)
    if output.exists() and not output.is_dir():
        raise RequestError(f"--output '{output}' is a file: give a folder, new or not.")
    inputs = find_inputs(options.input, output)
    arms = _arms(Path(options.run), options.arm, with_teacher=options.with_teacher)
    refuse_shared_pictures(inputs.files, _endings(arms), output)
    views = None if options.tta is None else _views(arms[0], options.tta)
    networks = [applied(arm, device, tile=options.tile, views=views) for arm in arms]
    for arm in arms:
        say(f"{arm.name} ({arm.record['network']}) in fp32 on {device}")
    if inputs.left_out:
        say(f"no images by their names, left out: {listed(inputs.left_out)}")
    answers = Answers(output, [arm.name for arm in arms])
    reading = Reading(networks, options.batch_size)
    try:
        with bar("images", len(inputs.files)) as progress:
            for batch in reading.batches(inputs.files):
                reading.faults += _answer(batch, networks, answers)
                progress.at(answers.done + len(reading.faults))
    finally:
        answers.close()
    say(f"{answers.done} of {len(inputs.files)} images done, in '{output}'")
    if reading.turned:
        say(f"turned upright, as EXIF says: {listed(reading.turned)}")
    if reading.faults:
        raise RunFailedError(
            f"{len(reading.faults)} of {len(inputs.files)} inputs could not be read or predicted and have no answer: "
            f"{'; '.join(reading.faults)}."
        )
    return 0


def _arms(run: Path, name: str | None, *, with_teacher: bool) -> list[FinishedArm]:
    """The arm, then its teacher where it is asked for."""
    arm = open_arm(run, name)
    if not with_teacher:
        return [arm]
    teacher = arm.record["teacher"]
    if teacher is None:
        raise RequestError(f"{arm.name} has no teacher: leave --with-teacher out, or name a student with --arm.")
    return [arm, open_arm(run, teacher)]


def _endings(arms: Sequence[FinishedArm]) -> tuple[str, ...]:
    """What follows an input's name in the names of the pictures that are written of it; nothing where none are."""
    if arms[0].resolved.spec.application.view is not None:
        # Of an image that is cut to a classifier's input, a row of the table is told, and no picture.
        return ()
    return endings(classes=bool(arms[0].record["classes"]), teacher=len(arms) > 1)


def _views(arm: FinishedArm, asked: str) -> Views:
    spec = arm.resolved.spec
    return spec.test_time[kind_of_views(spec, asked)]


class Reading:
    """Reads the inputs, and remembers what is to be said of them."""

    def __init__(self, networks: Sequence[Applied], batch_size: int) -> None:
        self.networks, self.batch_size = networks, batch_size
        self.turned: list[str] = []
        self.faults: list[str] = []

    def batches(self, files: Sequence[Input]) -> Iterator[list[Shown]]:
        """Images of one size, in order; what cannot be read is left out."""
        batch: list[Shown] = []
        for file in files:
            shown = self._read(file)
            if shown is None:
                continue
            if batch and (shown.image.shape != batch[0].image.shape or self._full(batch)):
                yield batch
                batch = []
            batch.append(shown)
        if batch:
            yield batch

    def _full(self, batch: Sequence[Shown]) -> bool:
        pixels = batch[0].image.shape[-2] * batch[0].image.shape[-1]
        return len(batch) >= self.batch_size or (len(batch) + 1) * pixels > BATCH_PIXELS

    def _read(self, file: Input) -> Shown | None:
        try:
            pixels, turned = read_upright(file.path)
        except DataError as error:
            self.faults.append(str(error))
            return None
        if turned:
            self.turned.append(file.name)
        # Of a batch of photographs that a classifier is shown small, the whole pixels would fill the memory.
        kept = pixels if len(self.networks) > 1 else None
        return Shown(file, kept, self.networks[0].shown(pixels))


def _answer(batch: Sequence[Shown], networks: Sequence[Applied], answers: Answers) -> list[str]:
    """Predict for one batch by every network, and write what each tells.

    Returns:
        The images that a network cannot be applied to, and why: too small, for one.
    """
    try:
        told = [_told(batch, network, first=network is networks[0]) for network in networks]
    except NetworkError as error:
        if len(batch) == 1:
            return [f"{batch[0].file.path}: {str(error).rstrip('.')}"]
        return [fault for shown in batch for fault in _answer([shown], networks, answers)]
    for shown, outcomes in zip(batch, zip(*told, strict=True), strict=True):
        answers.write(shown.file, shown.image, outcomes)
    return []


def _told(batch: Sequence[Shown], network: Applied, *, first: bool) -> list[Outcome]:
    """What one network tells of each image; a teacher, which is not the first, may be shown another size."""
    images = [shown.image if first or shown.pixels is None else network.shown(shown.pixels) for shown in batch]
    predictions = network.predict(images)
    return [network.tell(one, image) for one, image in zip(predictions, images, strict=True)]
