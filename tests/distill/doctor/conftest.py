"""What the doctor's tests share: chains of tiny tasks, and a teacher that was trained."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from densedistill.datasets.base import TaskData
from densedistill.distill.doctor.chain import DoctorChain
from densedistill.distill.losses import kd_loss
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import StepOutputs
from densedistill.distill.spec import TaskSpec

Patients = Callable[..., DoctorChain]


def many(tiny: ModuleType) -> TaskData:
    """Tiny images of 4 brightnesses, of which 200 are for validation."""
    data = tiny.make_data("cls", tiny.TinyOptions(images=448))
    train, val = data.train, data.val
    return dataclasses.replace(
        data,
        train=tiny.TinyTrain(train.pixels[:248], train.targets[:248]),
        val=tiny.TinyEval(train.pixels[248:], train.targets[248:], "val"),
        tests={"tiny": tiny.TinyEval(val.pixels, val.targets, "test")},
    )


@pytest.fixture(scope="session")
def patient(tiny: ModuleType) -> Patients:
    """(spec, folder, settings, method=, data=) -> the doctor's chain for a tiny task."""

    def made(
        spec: TaskSpec,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        *,
        method: str | None = None,
        data: TaskData | None = None,
    ) -> DoctorChain:
        chosen = spec if data is None else dataclasses.replace(spec, load_data=lambda _options: data)
        return DoctorChain(tiny.tiny_chain(chosen, folder, settings, method=method).parts, lean=True)

    return made


@pytest.fixture(scope="session")
def trained(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TaskData]:
    """A run whose teacher is done and right on most of its 200 validation images, and its data."""
    data, folder = many(tiny), tmp_path_factory.mktemp("trained")
    spec = dataclasses.replace(tiny.tiny_spec("cls"), load_data=lambda _options: data)
    settings: dict[str, Any] = {"generations": 1, "recipe.epochs": 6, "recipe.learning_rate": 0.02}
    settings |= {"networks.0.arguments.dropout": 0.0}
    torch.manual_seed(0)
    chain = tiny.tiny_chain(spec, folder, settings)
    assert chain.run()["arms"][0]["val"] > 70
    return folder, data


@pytest.fixture
def run(trained: tuple[Path, TaskData], tmp_path: Path) -> tuple[Path, TaskData]:
    """A copy of `trained` that a test may spoil."""
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    return folder, trained[1]


@pytest.fixture(scope="session")
def with_terms() -> Callable[[TaskSpec, Callable[[StepOutputs], Tensor]], TaskSpec]:
    """(spec, taught) -> `spec` with `taught` in place of its method's term, at the weight alpha."""

    def changed(spec: TaskSpec, taught: Callable[[StepOutputs], Tensor]) -> TaskSpec:
        method = spec.methods["kd"]

        def terms(parameters: Any, context: Any) -> Sequence[LossTerm]:
            return [dataclasses.replace(term, fn=taught) for term in method.taught(parameters, context)]

        return dataclasses.replace(spec, methods={**spec.methods, "kd": dataclasses.replace(method, taught=terms)})

    return changed


@pytest.fixture(scope="session")
def swapped() -> Callable[[StepOutputs], Tensor]:
    """A term that teaches by KL(student ‖ teacher)."""

    def term(outputs: StepOutputs) -> Tensor:
        """KL the wrong way round."""
        return kd_loss(outputs.taught().output.detach(), outputs.student.output, 4.0)

    return term
