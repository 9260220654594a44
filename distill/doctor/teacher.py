"""The teacher before its students learn from it: what it reaches on validation, and whether the data fit it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from densedistill.distill.data import EvalSet, TaskData
from densedistill.distill.doctor.finding import Finding, Status
from densedistill.distill.doctor.labels import check_label_order
from densedistill.distill.doctor.limits import Limits
from densedistill.distill.doctor.sample import BATCH, HeldImages
from densedistill.distill.evaluation import Evaluation, evaluate
from densedistill.distill.gains import lead
from densedistill.distill.machine.runtime import synchronise
from densedistill.distill.spec import TaskSpec, no_benchmark

PASSES = 5
"""Answers of networks of the teacher's size to each image for which there must be time: its own, those of fresh
weights, and some of the other normalisations, of which the rest are left out where it is up."""
TEACHER_SHARE = 0.5
"""Of the time that is left, what these may take."""
FEWEST_IMAGES, FEWEST_MAPS = 64, 4
"""Images below which a figure says too little: in one answer each, or in one for each of their pixels."""
TIMED_SIDE = 128
"""Side in pixels of what is timed to tell."""

Network = Callable[[Tensor], Tensor]
"""From input to raw output."""

NORMALISATIONS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none (pixels from 0 to 1)": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "-1 to 1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-100's": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "pixels from 0 to 255": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
"""Mean and deviation of pixels in [0, 1] that published weights were trained with."""

NORMALISATIONS_SHARE = 0.6
"""Of the time that is left, what others than the data's may take to be tried."""
CERTAIN = 3.0
"""Standard errors by which a difference of paired figures must exceed 0."""
WORTH_WHILE = 0.03
"""Relative gain below which another normalisation is no more than a warning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """A teacher with the images it is asked about."""

    arm: str
    network: nn.Module
    spec: TaskSpec
    data: TaskData
    """As the teacher takes it."""
    options: object
    device: torch.device

    @property
    def judged_otherwise(self) -> bool:
        """Whether the metric is not all that the task is judged by: its low figure is then no proof of a fault.

        Published edge detectors are judged at the level that suits their maps best; at a fixed one they look useless,
        and the wrong pixels may well lift their maps over it.
        """
        return self.spec.benchmark is not no_benchmark

    def score(self, network: Network, images: EvalSet) -> Evaluation:
        """What `network` reaches on `images`."""
        metric = self.spec.metric.make(self.options, self.data)
        return evaluate(
            network,
            images,
            spec=self.spec,
            metric=metric,
            device=self.device,
            batch_size=BATCH,
            keep=bool(self.data.classes),
        )


def check_teacher(
    teacher: Examined, alone: Mapping[str, float], untrained: Network | None, limits: Limits
) -> list[Finding]:
    """Its figure beside chance and beside its students' without it, other normalisations, and the order of labels.

    Args:
        teacher: the teacher.
        alone: what finished control arms reached on validation, by arm.
        untrained: the teacher's network with fresh weights, whose figure is what chance gives; None: not compared.
        limits: on the images and the time.
    """
    held = HeldImages(teacher.data.val, limits.teacher_images, limits)
    images = held.fewer(fitting_images(teacher, held, limits)) if held.complete else held
    fewest = FEWEST_MAPS if teacher.spec.application.view is None else FEWEST_IMAGES
    if not held.complete or len(images.ids) < min(fewest, len(held.ids)):
        dear = "its answers to" if held.complete else "reading"
        text = (
            f"{dear} enough of {held.of:,} validation images would take too long before this run: ask tools/doctor.py"
        )
        return [Finding(check="teacher's figure", subject=teacher.arm, status="skip", text=text)]
    own = teacher.score(teacher.network, images)
    found = [_beside_chance(teacher, own, images, untrained)]
    found += [_beside_student(teacher, own, images, name, figure) for name, figure in alone.items()]
    normalisation = check_normalisation(teacher, own, images, limits)
    if own.said is None or own.said.output.ndim != 2:
        return [*found, normalisation]
    order = check_label_order(teacher.arm, own.said.output, own.said.target, teacher.data.classes)
    return [*found, *better_explanation(normalisation, order)]


def fitting_images(teacher: Examined, images: HeldImages, limits: Limits) -> int:
    """How many of `images` the time allows to be asked about `PASSES` times, by what a few pixels take."""
    if limits.until is None:
        return len(images.ids)
    input_BCHW = next(images.batches(BATCH, device=teacher.device))["input"]
    if teacher.spec.application.view is None:
        input_BCHW = input_BCHW[..., :TIMED_SIDE, :TIMED_SIDE]
    pixels = input_BCHW.shape[-2] * input_BCHW.shape[-1]
    input_BCHW = input_BCHW[: max(TIMED_SIDE**2 // pixels, 1)]
    # The first answer of all is slow: what it is computed with has to be set up.
    for _ in range(2):
        started = limits.clock()
        with torch.inference_mode():
            teacher.spec.predict(teacher.network.eval(), input_BCHW)
        synchronise(teacher.device)
        seconds = limits.clock() - started
    each = seconds / (len(input_BCHW) * pixels)
    share = TEACHER_SHARE * limits.left / max(PASSES * each * images.pixels, 1e-9)
    return int(min(max(share, 0.0), 1.0) * len(images.ids))


def better_explanation(normalisation: Finding, order: Finding) -> tuple[Finding, Finding]:
    """Both findings; where both are faults, the one that explains less is left open.

    A network that is fed with the wrong pixels answers by some rule, and one whose classes are mixed up does a little
    better with other pixels: the true fault, once mended, gives the higher figure.
    """
    if normalisation.status != "fail" or order.status != "fail":
        return normalisation, order
    less, more = sorted((normalisation, order), key=lambda finding: float(finding.figures["best"]))
    left = Finding(
        check=less.check,
        subject=less.subject,
        status="skip",
        text=f"the fault of {more.check} explains more; {less.text}",
        figures=less.figures,
    )
    return (left, order) if less is normalisation else (normalisation, left)


def check_normalisation(teacher: Examined, own: Evaluation, images: HeldImages, limits: Limits) -> Finding:
    """Whether the teacher does clearly better with pixels normalised in another way than the data's, or as BGR."""
    check = "normalisation"
    if len(teacher.data.input_mean) != 3:
        return Finding(check=check, subject=teacher.arm, status="skip", text="its input has no three channels")
    others = {name: renormalised(teacher, *values) for name, values in NORMALISATIONS.items()}
    others["the data's, with channels in the order BGR"] = lambda input: teacher.network(_swapped(input, teacher.data))
    scores = {
        name: teacher.score(network, images) for name, network in limits.within(others.items(), NORMALISATIONS_SHARE)
    }
    gains = {name: gain(other, own, higher=teacher.spec.metric.higher_is_better) for name, other in scores.items()}
    best = max(gains, key=lambda name: gains[name][0])
    advantage, error = gains[best]
    metric = teacher.spec.metric.name
    reached = {name: score.metrics[metric] for name, score in scores.items()}
    size = abs(own.metrics[metric]) + abs(reached[best])
    certain, large = advantage > CERTAIN * error, advantage > WORTH_WHILE * size
    fault: Status = "warn" if teacher.judged_otherwise else "fail"
    status: Status = "pass" if not certain else fault if large else "warn"
    given = f"mean {teacher.data.input_mean}, deviation {teacher.data.input_std}"
    figure = own.metrics[metric]
    text = f"with the data's normalisation ({given}) {metric} is {figure:.4g}, with {best} {reached[best]:.4g}"
    mean, std = NORMALISATIONS.get(best, ((), ()))
    named = f" (mean {tuple(mean)}, deviation {tuple(round(value, 4) for value in std)})" if mean else ""
    return Finding(
        check=check,
        subject=teacher.arm,
        status=status,
        text=text if certain else f"none of {len(scores)} other normalisations does clearly better; {text}",
        remedy=_remedy(teacher, f"{best}{named}") if certain else "",
        figures={"own": figure, "best": reached[best], "others": reached, "images": len(images.ids)},
    )


def _remedy(teacher: Examined, normalisation: str) -> str:
    if teacher.judged_otherwise:
        return (
            "see what the task's benchmark says of the teacher: if it is as good as published, the normalisation is "
            f"right, and other pixels ({normalisation}) only lift its maps over the level of {teacher.spec.metric.name}"
        )
    return (
        f"this teacher seems to be trained with the normalisation {normalisation}: give weights that were trained with "
        "the data's, or fold the difference into its first layer"
    )


def renormalised(teacher: Examined, mean: Sequence[float], std: Sequence[float]) -> Network:
    """The teacher, fed with pixels that are normalised by `mean` and `std`."""

    def network(images: Tensor) -> Tensor:
        answer: Tensor = teacher.network((_pixels(images, teacher.data) - _column(mean, images)) / _column(std, images))
        return answer

    return network


def saying(place: int, classes: int) -> Network:
    """Images (B, ...) to logits (B, K) of a network that answers with class `place` of `classes`, whatever it sees."""

    def network(images: Tensor) -> Tensor:
        logits_BK = images.new_zeros(len(images), classes)
        logits_BK[:, place] = 1.0
        return logits_BK

    return network


def gain(other: Evaluation, own: Evaluation, *, higher: bool) -> tuple[float, float]:
    """By how much `other` is better over the same images, and the standard error of that, image by image."""
    pairs = [
        (next(iter(other.per_image[name].values())), next(iter(of.values()))) for name, of in own.per_image.items()
    ]
    if len(pairs) < 2:
        return 0.0, math.inf
    differences = torch.tensor([lead(first, second, higher=higher) for first, second in pairs], dtype=torch.float64)
    error = float(differences.std() / math.sqrt(len(pairs)))
    return float(differences.mean()), error


def _beside_chance(teacher: Examined, own: Evaluation, images: HeldImages, untrained: Network | None) -> Finding:
    metric = teacher.spec.metric
    figure = own.metrics[metric.name]
    rivals: dict[str, Network] = dict(teacher.spec.baselines(teacher.options))
    if untrained is not None:
        rivals["fresh weights"] = untrained
    if own.said is not None and own.said.target.ndim == 1 and not own.said.target.is_floating_point():
        often = int(own.said.target.bincount().argmax())
        rivals["always the most frequent class"] = saying(often, own.said.output.shape[1])
    chances = {name: teacher.score(network, images).metrics[metric.name] for name, network in rivals.items()}
    judged = teacher.judged_otherwise
    better = all(lead(figure, chance, higher=metric.higher_is_better) > 0 for chance in chances.values())
    beside = ", ".join(f"{name} {value:.4g}" for name, value in chances.items())
    return Finding(
        check="teacher's figure",
        subject=teacher.arm,
        status="pass" if better else "warn" if judged else "fail",
        text=f"{metric.name} {figure:.4g} on {len(images.ids):,} of {images.of:,} validation images; {beside}",
        remedy=""
        if better
        else "the teacher is no better than what needs no training"
        + (f" by {metric.name}, which is not all that this task is judged by: see what its benchmark says" * judged)
        + ": see that its weights are those meant, and what the checks of normalisation and label order say",
        figures={metric.name: figure, "images": len(images.ids), "chance": chances},
    )


def _beside_student(teacher: Examined, own: Evaluation, images: HeldImages, arm: str, alone: float) -> Finding:
    metric = teacher.spec.metric
    figure = own.metrics[metric.name]
    ahead = lead(figure, alone, higher=metric.higher_is_better)
    values = torch.tensor([next(iter(of.values())) for of in own.per_image.values()], dtype=torch.float64)
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else 0.0
    fault: Status = "warn" if teacher.judged_otherwise else "fail"
    status: Status = "pass" if ahead > 0 else fault if ahead < -error else "warn"
    return Finding(
        check="teacher beside its student",
        subject=teacher.arm,
        status=status,
        text=f"{metric.name} {figure:.4g} on {len(images.ids):,} of {images.of:,} validation images (standard error "
        f"{error:.2g}); its student without a teacher ({arm}) has {alone:.4g}",
        remedy=""
        if status == "pass"
        else "train the teacher for longer, or take a stronger one: a student gains little from a teacher that is no "
        "better than itself",
        figures={metric.name: figure, arm: alone, "standard_error": error},
    )


def _pixels(images: Tensor, data: TaskData) -> Tensor:
    return images * _column(data.input_std, images) + _column(data.input_mean, images)


def _swapped(images: Tensor, data: TaskData) -> Tensor:
    return (_pixels(images, data).flip(1) - _column(data.input_mean, images)) / _column(data.input_std, images)


def _column(values: Sequence[float], images: Tensor) -> Tensor:
    return torch.tensor(values, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
