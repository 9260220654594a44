"""Scoring a finished arm: its metric on every set, and its fidelity to its teacher."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from densedistill.distill.arm import ArmPlan
from densedistill.distill.assembly import Assembler
from densedistill.distill.data import EvalSet, TaskData
from densedistill.distill.evaluation import Evaluation, evaluate
from densedistill.distill.fidelity import ArmScores, Scored
from densedistill.distill.latency import latency_ms
from densedistill.distill.metrics.base import Metric


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What a network reached."""

    val: Mapping[str, float]
    tests: Mapping[str, Mapping[str, float]]
    said: ArmScores | None
    """Its outputs, where the task compares them."""


class Scoring:
    """Scores the arms of a chain; remembers what teachers said, for their students."""

    def __init__(self, chain: Assembler, heed: Callable[[], None]) -> None:
        """Score arms of `chain`; `heed` is called often meanwhile, and ends it by what it raises."""
        self.chain, self.heed = chain, heed
        self.spec = chain.resolved.spec
        self._said: dict[str, ArmScores] = {}

    def score(
        self, network: Callable[[Tensor], Tensor], data: TaskData, batch_size: int, *, benchmark: bool = True
    ) -> Scores:
        """`network` on validation and on every test set of `data`, these with the task's benchmark where asked for."""
        keep = self.spec.fidelity is not None and len(data.tests) > 0
        main = next(iter(data.tests), None)
        val = self._evaluate(network, data.val, batch_size, keep=keep)
        tests = {
            name: self._test(network, name, images, batch_size, keep=keep and name == main, benchmark=benchmark)
            for name, images in data.tests.items()
        }
        said = None if main is None else _together(val.said, tests[main].said)
        figures = {name: dict(evaluation.metrics) for name, evaluation in tests.items()}
        return Scores(val=dict(val.metrics), tests=figures, said=said)

    def latency_ms(self, network: nn.Module, data: TaskData) -> float:
        """Milliseconds that `network` takes for the first validation image of `data`, by itself."""
        network.eval()
        image = next(data.val.batches(1, device=self.chain.runtime.device))["input"]
        return latency_ms(lambda input_1CHW: self.spec.predict(network, input_1CHW), image)

    def fidelity(self, plan: ArmPlan, scores: Scores, batch_size: int) -> dict[str, Any]:
        """What the task says of `plan`'s arm beside its metric; {} where it says nothing."""
        if self.spec.fidelity is None or scores.said is None:
            return {}
        if any(other.teacher == plan.name for other in self.chain.plans):
            self._said[plan.name] = scores.said
        temperature = next(iter(self.chain.resolved.temperatures), 1.0)
        teacher = None if plan.teacher is None else self._teacher_said(plan.teacher, batch_size)
        return dict(self.spec.fidelity(scores.said, teacher, temperature, self.chain.data.classes))

    def _teacher_said(self, arm: str, batch_size: int) -> ArmScores | None:
        """Kept from when the arm was scored; asked again after a restart."""
        if arm not in self._said:
            plan = next(plan for plan in self.chain.plans if plan.name == arm)
            network, data = self.chain.network_of(arm), self.chain.data_for(plan)
            said = self.score(network, data, batch_size, benchmark=False).said
            if said is None:
                return None
            self._said[arm] = said
        return self._said[arm]

    def _test(
        self,
        network: Callable[[Tensor], Tensor],
        name: str,
        images: EvalSet,
        batch_size: int,
        *,
        keep: bool,
        benchmark: bool,
    ) -> Evaluation:
        asked = self.spec.benchmark(self.chain.resolved.options, "test", images) if benchmark else None
        start = time.perf_counter()
        found = self._evaluate(network, images, batch_size, keep=keep, benchmark=asked)
        if asked is not None:
            took = time.perf_counter() - start
            self.chain.log.message(f"{name}: {len(images.ids)} images with {asked.name} and its kin in {took:.0f} s")
        return found

    def _evaluate(
        self,
        network: Callable[[Tensor], Tensor],
        images: EvalSet,
        batch_size: int,
        *,
        keep: bool,
        benchmark: Metric | None = None,
    ) -> Evaluation:
        return evaluate(
            network,
            images,
            spec=self.spec,
            metric=self.spec.metric.make(self.chain.resolved.options, self.chain.data),
            benchmark=benchmark,
            device=self.chain.runtime.device,
            batch_size=batch_size,
            keep=keep,
            heed=self.heed,
        )


def _together(val: Scored | None, test: Scored | None) -> ArmScores | None:
    return None if val is None or test is None else ArmScores(val=val, test=test)
