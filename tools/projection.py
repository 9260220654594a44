"""How long a whole chain would take, from three measured epochs of each generation. Projected, and labelled so."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from densedistill import backbones
from densedistill.distill.arm_names import arm_name
from densedistill.distill.chain import Chain
from densedistill.distill.configuration.config import Request, resolve
from densedistill.distill.errors import RequestError
from densedistill.distill.files import read_json, write_json
from densedistill.distill.machine.guard import naming_failures
from densedistill.distill.machine.runtime import start_runtime
from densedistill.distill.progress import RichLog
from densedistill.distill.run_dir import RunDir
from densedistill.tasks import get
from densedistill.tasks.parts import load_parts
from densedistill.tools.benchmark_data import synthetic

EPOCHS_MEASURED = 3
"""The first one pays for warm-up and compilation and is set apart; the others are the pace."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectedChain:
    """What is projected."""

    images: int = 50_000
    image_size: int = 32
    classes: int = 100
    batch_size: int = 128
    epochs: int = 200
    generations: int = 3
    device: str = "auto"
    networks: tuple[str, ...] = ()
    """By generation, in place of the reference's ResNet101, MobileNetV2 and MobileNetV2 of half width."""
    compile: Literal["auto", "always", "never"] = "always"
    """`always` is what `auto` comes to over so many epochs, wherever compiling gains anything."""


class PacedLog(RichLog):
    """Notes when epochs end, beside showing them."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, list[float]] = {}

    def arm_started(self, arm: str, detail: str, steps: int, done: int) -> None:
        """The first entry of an arm is its start."""
        self.ends[arm] = [time.perf_counter()]
        super().arm_started(arm, detail, steps, done)

    def epoch(self, line: Mapping[str, object]) -> None:
        """One entry for each epoch, with its evaluation."""
        self.ends[str(line["arm"])].append(time.perf_counter())
        super().epoch(line)


def project(chain: ProjectedChain, folder: Path) -> dict[str, Any]:
    """Train `EPOCHS_MEASURED` epochs of each generation on random images and project `chain.epochs` of them.

    A generation that was interrupted is measured anew; one that is done is read from `folder`.

    Raises:
        RequestError: the folder holds a projection of another chain.
    """
    file = folder / "projection.json"
    asked = dataclasses.asdict(chain) | {"networks": list(chain.networks)}
    document: dict[str, Any] = read_json(file) if file.is_file() else {"asked": asked, "arms": {}}
    if document["asked"] != asked:
        raise RequestError(f"'{folder}' holds a projection of another chain ({document['asked']}): give another --out.")
    for generation in range(1, chain.generations + 1):
        name = _arm(generation)
        if name not in document["arms"]:
            document["arms"][name] = _measured(chain, generation, folder / "run")
            write_json(file, document)
    hours = sum(arm["projected_seconds"] for arm in document["arms"].values()) / 3600
    return document | {"projected": True, "hours": hours}


def _arm(generation: int) -> str:
    return arm_name(generation, "teacher" if generation == 1 else "student")


def _measured(chain: ProjectedChain, generation: int, folder: Path) -> dict[str, Any]:
    spec = get("cls")
    settings: list[tuple[str, object]] = [
        ("generations", generation),
        ("controls", []),
        ("track", []),
        ("pretrained", "none"),
        ("device", chain.device),
        ("data.input_size", chain.image_size),
        ("recipe.batch_size", chain.batch_size),
        ("recipe.epochs", EPOCHS_MEASURED),
        ("speed.compile", chain.compile),
    ]
    if chain.networks:
        settings.append(("networks", [{"name": name} for name in chain.networks]))
    resolved = resolve(spec, Request(preset="paper", settings=settings))
    data = synthetic(resolved.options, chain.images, chain.classes)
    if data is None:
        raise TypeError("task cls has labelled images")
    spec = dataclasses.replace(spec, load_data=lambda _options: data)
    resolved = dataclasses.replace(resolved, spec=spec)
    runtime = start_runtime(resolved.config.device, resolved.config.precision)
    run_dir, log = RunDir(folder), PacedLog()
    arm = _arm(generation)
    for state in run_dir.arm(arm).state.glob("*"):
        state.unlink()
    with naming_failures(folder), log:
        parts = load_parts(resolved, folder=folder, runtime=runtime, log=log)
        Chain(parts, networks_module=backbones.__name__, track=lambda _line: None, command=sys.argv).run()
    started, *ends = log.ends[arm]
    first, pace = ends[0] - started, (ends[-1] - ends[0]) / (len(ends) - 1)
    record = run_dir.arm(arm).record()
    return {
        "network": record["network"],
        "params": record["params"],
        "first_epoch_seconds": first,
        "epoch_seconds": pace,
        "images_per_second": chain.images / pace,
        "projected_seconds": first + (chain.epochs - 1) * pace,
        "notes": record["notes"],
        "environment": record["environment"],
    }
