"""Image denoising as a task of one file: python tools/distill.py --plugin examples/denoise.py --task denoise"""

from itertools import pairwise

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from densedistill.backbones import register_network
from densedistill.datasets.base import TaskData
from densedistill.datasets.dense import DenseEval, DenseTrain
from densedistill.datasets.holdout import fingerprint
from densedistill.datasets.photos import load_photo, super_resolution_photos
from densedistill.distill.configuration.recipe import Recipe
from densedistill.distill.metrics import ImageQuality
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import StepOutputs
from densedistill.distill.spec import Method, MetricSpec, NetworkSpec, PanelCell, Panels, Preset, TaskSpec
from densedistill.tasks import register
from densedistill.tasks.pictures import as_pixels, centre


class Denoiser(nn.Sequential):
    """Convolutions that predict the noise (after Zhang et al. 2017, DnCNN); RGB (B, 3, H, W) in [0, 1] to the same."""

    def forward(self, images: Tensor) -> Tensor:
        return images - super().forward(images)


@register_network("denoiser", summary="convolutions that predict the noise")
def denoiser(*, width: int = 24, depth: int = 5) -> Denoiser:
    """A denoiser of `depth` convolutions."""
    widths = [3] + [width] * (depth - 1)
    layers = [nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in pairwise(widths)]
    return Denoiser(*layers, nn.Conv2d(width, 3, 3, padding=1))


class NoisyPhotos(BaseModel, frozen=True, extra="forbid"):
    """Embedded photographs with Gaussian noise of deviation `sigma`, of 255 levels; no scene is in two parts."""

    name: str = "noisy-photos"
    sigma: float = Field(default=25.0, gt=0)


def load_noisy_photos(options: NoisyPhotos) -> TaskData:
    """Training views of 48 pixels, whole photographs in val and test."""
    draws = np.random.default_rng(0)
    names, clean, noisy, digests = {}, {}, {}, {}
    for role in ("train", "val", "test"):
        names[role] = super_resolution_photos(role)
        clean[role] = [load_photo(name).transpose(2, 0, 1) for name in names[role]]
        samples = [draws.normal(photo, options.sigma) for photo in clean[role]]
        noisy[role] = [np.rint(photo.clip(0, 255)).astype(np.uint8) for photo in samples]
        digests[role] = [(name, photo.tobytes()) for name, photo in zip(names[role], noisy[role], strict=True)]
    val, test = (DenseEval(ids=names[r], inputs=noisy[r], targets=clean[r], max_batch=1) for r in ("val", "test"))
    return TaskData(
        name=options.name,
        embedded=True,
        train=DenseTrain(inputs=noisy["train"], targets=clean["train"], crop=48, symmetry="dihedral"),
        val=val,
        tests={options.name: test},
        fingerprint=fingerprint(digests),
    )


class Imitation(BaseModel, frozen=True, extra="forbid"):
    """Parameters of the method: the teacher's share."""

    alpha: float = Field(default=0.5, ge=0, le=1)


def charbonnier(step: StepOutputs, target: Tensor) -> Tensor:
    """Mean of sqrt(difference² + 0.001²) of the student's image, a smooth L1 (Charbonnier et al. 1994)."""
    return torch.sqrt((step.student.output - target).square() + 1e-6).mean()


def own_terms(parameters: Imitation, _context: object) -> list[LossTerm]:
    """(1 - α)·C(student, truth); in an arm without a teacher its weight is 1."""
    return [LossTerm(name="truth", fn=lambda s: charbonnier(s, s.target), weight=1 - parameters.alpha, alone_weight=1)]


def taught_terms(parameters: Imitation, _context: object) -> list[LossTerm]:
    """α·C(student, teacher)."""
    return [LossTerm(name="teacher", fn=lambda s: charbonnier(s, s.taught().output), weight=parameters.alpha)]


def detail(image: Tensor) -> PanelCell:
    """The middle of an image, for the report."""
    return PanelCell(image=as_pixels(centre(image, 192, 192)))


@register("denoise")
def denoise() -> TaskSpec:
    """The denoising task."""
    demo = Preset(
        summary="photographs with Gaussian noise: a denoiser of width 24 → width 8",
        chain=(NetworkSpec(name="denoiser"), NetworkSpec(name="denoiser", arguments={"width": 8, "depth": 4})),
        recipe=Recipe(optimizer="adam", learning_rate=2e-3, epochs=3, batch_size=16, views_per_epoch=1280),
        data=NoisyPhotos(),
        method="imitation",
    )
    method = Method(name="imitation", summary="", paper="", parameters=Imitation(), own=own_terms, taught=taught_terms)
    return TaskSpec(
        name="denoise",
        summary="removal of Gaussian noise, by PSNR on Y",
        metric=MetricSpec(name="psnr_y", unit="dB", higher_is_better=True, make=lambda *_: ImageQuality(0)),
        methods={method.name: method},
        presets={"demo": demo},
        load_data=load_noisy_photos,
        network_arguments=lambda *_: {},
        predict=lambda network, images: network(images),
        finish=lambda images: images.clamp(0, 1),
        panels=Panels(
            picture=lambda entries, _data: detail(entries["input"]),
            truth=lambda entries, _data: detail(entries["target"]),
            prediction=lambda image, _entries, _data: detail(image),
        ),
    )
