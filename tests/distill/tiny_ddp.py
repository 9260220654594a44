"""What each of several processes sees of a chain; started by torchrun. Usage: tiny_ddp.py OUT."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import tiny_task
import torch
from torch import Tensor, distributed

from densedistill.distill import chain as chain_module
from densedistill.distill.lessons import checkpoint
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.run_dir import RunDir

ONE_STEP = {
    "recipe.optimizer": "sgd",
    "recipe.learning_rate": 0.01,
    "recipe.epochs": 1,
    "recipe.views_per_epoch": 8,
    "recipe.freeze_batch_norm": True,
    "controls": [],
    "networks.0.arguments.dropout": 0.0,
    "networks.1.arguments.dropout": 0.0,
}
"""One step on a joined batch of 8 whose gradient must not depend on the number of processes."""

METHODS: dict[str, dict[str, Any]] = {
    "crd": {"method.negatives_from": "other-images", "method.negatives": 8},
    "simkd": {},
    "reviewkd": {},
}
"""Methods with more than weights to keep alike: banks, a classifier that is not trained, statistics of projectors."""


@contextmanager
def first_gradients(found: dict[str, Tensor]) -> Iterator[None]:
    """Put gen_02's gradients, as the optimiser gets them, into `found`."""
    clip = ArmTraining._clip

    def noting(arm: ArmTraining, *, measure: bool) -> Tensor | None:
        norm = clip(arm, measure=measure)
        if arm.arm.plan.name == "gen_02":
            named = arm.step_module.named_parameters()
            found.update({name: value.grad.clone() for name, value in named if value.grad is not None})
        return norm

    with mock.patch.object(ArmTraining, "_clip", noting):
        yield


def differ(state: Mapping[str, Tensor]) -> bool:
    """Whether the processes hold different tensors."""
    tensors = [value for value in state.values() if isinstance(value, Tensor)]
    for value in tensors:
        both = [torch.empty_like(value) for _ in range(distributed.get_world_size())]
        distributed.all_gather(both, value.contiguous())
        if any(not torch.equal(both[0], other) for other in both):
            return True
    return False


def statistics(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all running statistics of batch-norm, by path."""
    return {name: value.clone() for name, value in module.named_buffers() if "running_" in name}


@contextmanager
def watching(facts: dict[str, Any]) -> Iterator[None]:
    """Note what the processes hold before and after each synchronisation, and who writes."""
    synchronise, save, append = ArmTraining._synchronise, checkpoint.save_state, RunDir.append_metrics
    record = chain_module.write_json

    def synchronising(arm: ArmTraining) -> None:
        facts["statistics_differ_before"].append(differ(statistics(arm.arm.network)))
        synchronise(arm)
        facts["statistics_differ_after"].append(differ(statistics(arm.arm.network)))
        facts["average_differs_after"].append(differ(arm.evaluated_network.state_dict()))
        facts["weights_differ"].append(differ(dict(arm.step_module.named_parameters())))
        facts["projectors"] += [name for name, _ in arm.objective.named_parameters()]

    def noting(kind: str, function: Any) -> Any:
        def write(*arguments: Any) -> None:
            facts["writes"].append(kind)
            function(*arguments)

        return write

    with (
        mock.patch.object(ArmTraining, "_synchronise", synchronising),
        mock.patch.object(checkpoint, "save_state", noting("state", save)),
        mock.patch.object(chain_module, "write_json", noting("record", record)),
        mock.patch.object(RunDir, "append_metrics", noting("metrics", append)),
    ):
        yield


def method_differs(out: Path, method: str) -> list[bool]:
    """Whether, at each synchronisation, the processes hold other weights, statistics or memories of images."""
    differed: list[bool] = []
    synchronise = ArmTraining._synchronise

    def synchronising(arm: ArmTraining) -> None:
        synchronise(arm)
        if arm.arm.plan.name == "gen_02":
            differed.append(differ(arm.step_module.state_dict()))

    settings = {"recipe.epochs": 2, "recipe.views_per_epoch": 16, "controls": [], **METHODS[method]}
    with mock.patch.object(ArmTraining, "_synchronise", synchronising):
        tiny_task.tiny_chain(tiny_task.tiny_spec("cls"), out / method, settings, method=method).run()
    return differed


def main(out: Path) -> None:
    """Run three chains; write what this process saw."""
    torch.set_num_threads(1)
    names = ("statistics_differ_before", "statistics_differ_after", "average_differs_after", "weights_differ")
    facts: dict[str, Any] = {name: [] for name in (*names, "projectors", "writes")}
    with watching(facts):
        chain = tiny_task.tiny_chain(
            tiny_task.tiny_spec("sr"), out / "run", {"recipe.ema_decay": 0.5, "recipe.batch_size": 12}
        )
        lines: list[Any] = []
        chain.track = lines.append
        chain.run()
    facts |= {"processes": chain.runtime.processes, "rank": chain.runtime.rank, "lines": lines}
    facts["asked"] = chain.data.train.asked
    for kind in ("cls", "sr"):
        gradients: dict[str, Tensor] = {}
        with first_gradients(gradients):
            tiny_task.tiny_chain(tiny_task.tiny_spec(kind), out / kind, ONE_STEP).run()
        torch.save(gradients, out / f"{kind}-{chain.runtime.rank}.pt")
    facts["methods_differ"] = {method: method_differs(out, method) for method in METHODS}
    (out / f"facts-{chain.runtime.rank}.json").write_text(json.dumps(facts))
    distributed.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(Path(sys.argv[1]))
