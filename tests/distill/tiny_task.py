"""Three tasks so small that a whole chain trains in about a second, with the real tasks' losses and metrics.

Imported by the fixture `tiny` and by driver scripts that run in a process of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from densedistill.backbones.spec import Built
from densedistill.datasets.base import TaskData
from densedistill.datasets.views import uniform
from densedistill.distill.chain import Chain
from densedistill.distill.configuration.config import Request, Resolved, resolve
from densedistill.distill.configuration.recipe import FROZEN, Recipe
from densedistill.distill.data import BatchPlan
from densedistill.distill.errors import InterruptedRunError
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.machine.runtime import Precision, start_runtime
from densedistill.distill.outputs import Batch
from densedistill.distill.probe import PROBE_SEED
from densedistill.distill.progress import RunLog, SilentLog
from densedistill.distill.run_dir import RunDir
from densedistill.distill.run_parts import RunParts
from densedistill.distill.spec import NetworkSpec, Preset, TaskSpec, no_benchmark
from densedistill.tasks import get

Kind = Literal["cls", "edges", "sr"]
CLASSES = ("dark", "dim", "light", "bright")


class TinyNet(nn.Module):
    """Two convolutions with batch norm and dropout, and a head for each kind of task."""

    def __init__(self, kind: Kind, width: int = 6, dropout: float = 0.2) -> None:
        super().__init__()
        self.kind = kind
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.drop = nn.Dropout(dropout)
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.head: nn.Module
        if kind == "cls":
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, len(CLASSES)))
        elif kind == "edges":
            self.head = nn.Conv2d(width, 1, 1)
        else:
            self.head = nn.Sequential(nn.Conv2d(width, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.head(self.body(self.drop(self.stem(images))))
        return answer + nn.functional.interpolate(images, scale_factor=2) if self.kind == "sr" else answer


class TinyNetworks:
    """A source of `TinyNet`s that remembers what it built."""

    def __init__(self) -> None:
        self.built: list[nn.Module] = []

    def build(self, name: str, arguments: Mapping[str, object], *, pretrained: str = "none") -> Built:
        """`tiny/KIND` with the arguments `width` and `dropout`."""
        options: dict[str, Any] = dict(arguments)
        self.built.append(TinyNet(name.removeprefix("tiny/"), **options))  # type: ignore[arg-type]
        return Built(module=self.built[-1])

    def load_weights(self, module: nn.Module, path: Path) -> None:
        """Load a `torch.save`d state."""
        module.load_state_dict(torch.load(path, weights_only=True))


class TinyOptions(BaseModel):
    """The data of a tiny task."""

    model_config = FROZEN

    name: Literal["tiny"] = "tiny"
    root: Path | None = None
    images: int = 48
    scale: int = 2
    workers: int = 0


class TinyTrain:
    """Views that differ in brightness, a pure function of (seed, image, view); remembers what training asked for."""

    def __init__(self, pixels: Tensor, targets: Tensor) -> None:
        self.pixels, self.targets = pixels, targets
        self.asked: list[tuple[list[int], list[int]]] = []

    def __len__(self) -> int:
        return len(self.pixels)

    def plain(self, place: int) -> Tensor:
        """Image `place` as it is: (3, H, W) uint8."""
        return (self.pixels[place] * 255).round().to(torch.uint8)

    def batches(self, plans: Sequence[BatchPlan], *, seed: int, device: torch.device) -> Iterator[Batch]:
        """One batch for each plan."""
        for plan in plans:
            if seed != PROBE_SEED:
                self.asked.append((plan.images.tolist(), plan.views.tolist()))
            places = torch.from_numpy(plan.images)
            shade = torch.from_numpy(uniform(seed, plan.images, plan.views, "shade")).float() * 0.1
            yield {
                "input": (self.pixels[places] + shade[:, :, None, None]).to(device),
                "target": self.targets[places].to(device),
                "index": places.to(device),
            }


class TinyEval:
    """Images as they are."""

    def __init__(self, pixels: Tensor, targets: Tensor, prefix: str) -> None:
        self.pixels, self.targets = pixels, targets
        self.ids = tuple(f"{prefix}{place}" for place in range(len(pixels)))

    def batches(self, batch_size: int, *, device: torch.device) -> Iterator[Batch]:
        """Batches in order."""
        for places in torch.arange(len(self.pixels)).split(batch_size):
            yield {
                "input": self.pixels[places].to(device),
                "target": self.targets[places].to(device),
                "index": places.to(device),
            }


def make_data(kind: Kind, options: TinyOptions) -> TaskData:
    """Images of 4 brightnesses with noise: classes, maps of bright pixels, or the noise-free enlargement."""
    generator = torch.Generator().manual_seed(7)
    count = options.images + 24
    labels = torch.arange(count) % len(CLASSES)
    size = 12 if kind == "sr" else 8
    noise = torch.rand(count, 3, size, size, generator=generator)
    pixels = (labels.float()[:, None, None, None] / 4 + 0.5 * noise).clamp(0, 1)
    targets: Tensor = labels
    if kind == "edges":
        targets = (pixels.mean(1, keepdim=True) > 0.6).float()
    elif kind == "sr":
        targets = nn.functional.interpolate(pixels, scale_factor=2, mode="bilinear").clamp(0, 1)
    train, val, test = slice(0, options.images), slice(options.images, -12), slice(-12, None)
    return TaskData(
        name="tiny",
        train=TinyTrain(pixels[train], targets[train]),
        val=TinyEval(pixels[val], targets[val], "val"),
        tests={"tiny": TinyEval(pixels[test], targets[test], "test")},
        fingerprint="sha256:tiny",
        embedded=True,
        classes=CLASSES if kind == "cls" else (),
    )


def tiny_spec(kind: Kind) -> TaskSpec:
    """The real task `kind` with tiny networks and data. Name: `tiny_KIND`."""
    taps = ("body",) if kind == "sr" else ()
    preset = Preset(
        summary="tiny",
        chain=tuple(NetworkSpec(name=f"tiny/{kind}", arguments={"width": width}, taps=taps) for width in (8, 6, 4)),
        recipe=Recipe(optimizer="adamw", learning_rate=5e-3, epochs=2, batch_size=8),
        data=TinyOptions(),
        method=next(iter(get(kind).methods)),
        method_parameters={"perceptual_weight": 0.0} if kind == "sr" else {},
    )
    return dataclasses.replace(
        get(kind),
        name=f"tiny_{kind}",
        presets={"demo": preset},
        load_data=lambda options: make_data(kind, options),
        benchmark=no_benchmark,
        network_arguments=lambda _name, _options, _data: {},
    )


def tiny_resolved(spec: TaskSpec, settings: Mapping[str, object], method: str | None = None) -> Resolved:
    """`spec` with fields of the configuration changed."""
    return resolve(spec, Request(method=method, settings=tuple(settings.items())))


def tiny_chain(
    spec: TaskSpec,
    out: Path,
    settings: Mapping[str, object] | None = None,
    *,
    precision: Precision = "fp32",
    log: RunLog | None = None,
    method: str | None = None,
) -> Chain:
    """A chain of `spec` in the folder `out`, on the CPU."""
    parts = RunParts(
        resolved=(resolved := tiny_resolved(spec, settings or {}, method)),
        data=spec.load_data(resolved.options),
        networks=TinyNetworks(),
        runtime=start_runtime("cpu", precision),
        run_dir=RunDir(out),
        log=log or SilentLog(),
    )
    return Chain(parts, networks_module="tiny_task", track=lambda _line: None, command=("tiny",))


def die_at(monkeypatch: pytest.MonkeyPatch, *moments: int) -> None:
    """Kill the run before each of these steps of generation 2's distilled arm, once each and in this order."""
    left, take = list(moments), ArmTraining.take_step

    def dying(training: ArmTraining, batch: Any, taught: Any) -> Any:
        if training.arm.plan.generation == 2 and training.counters.step in left[:1]:
            left.pop(0)
            raise InterruptedRunError("killed", exit_status=137)
        return take(training, batch, taught)

    monkeypatch.setattr(ArmTraining, "take_step", dying)


def same_bytes(first: Path, second: Path) -> bool:
    """Whether two files are equal."""
    return first.read_bytes() == second.read_bytes()


def untimed(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of metrics, or an arm of a result, without what depends on the machine's speed."""
    timing = ("seconds", "images_per_second", "peak_memory_mb", "latency_ms")
    return {key: value for key, value in line.items() if key not in timing}


def plan_places(asked: Sequence[tuple[list[int], list[int]]]) -> np.ndarray:
    """All image places in the order asked for."""
    return np.concatenate([np.array(images) for images, _views in asked])
