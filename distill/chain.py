"""The chain: generations one after another, each student the next one's teacher, with controls beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from densedistill.distill.arm import ArmPlan
from densedistill.distill.assembly import Assembled, Assembler
from densedistill.distill.config import Resolved
from densedistill.distill.data import TaskData
from densedistill.distill.evaluation import evaluate
from densedistill.distill.files import save_weights, write_json
from densedistill.distill.memory import peak_megabytes, reset_peak
from densedistill.distill.networks import NetworkSource
from densedistill.distill.progress import RunLog
from densedistill.distill.result import make_result
from densedistill.distill.run_dir import RunDir
from densedistill.distill.runtime import Runtime
from densedistill.distill.signals import StopSignal
from densedistill.distill.training import ArmTraining, Surroundings


class Chain(Assembler):
    """All arms of a run, in order. Finished arms are not run again, an unfinished one goes on from its state."""

    def __init__(
        self,
        resolved: Resolved,
        *,
        data: TaskData,
        networks: NetworkSource,
        networks_module: str,
        runtime: Runtime,
        run_dir: RunDir,
        log: RunLog,
        track: Callable[[Mapping[str, Any]], None],
        command: Sequence[str],
    ) -> None:
        super().__init__(resolved, data=data, networks=networks, runtime=runtime, run_dir=run_dir, log=log)
        self.networks_module = networks_module
        self.track, self.command = track, command
        self.baselines: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """Run every arm that is not done and return the result.

        Raises:
            RequestError: a network, weights file or batch size cannot be used.
            RunFailedError: training failed; finished arms and the last good state are kept.
            InterruptedRunError: a signal arrived; the state is saved.
        """
        self._score_baselines()
        self._write_result()
        with StopSignal() as stop:
            for plan in self.plans:
                if self.run_dir.arm(plan.name).done:
                    self.log.message(f"{plan.name} is done already")
                else:
                    self._run_arm(plan, stop)
                    self.runtime.accelerator.wait_for_everyone()
                self._write_result()
        return self._result()

    # -- one arm ----------------------------------------------------------------------------------------------------

    def _run_arm(self, plan: ArmPlan, stop: StopSignal) -> None:
        reset_peak(self.runtime.device)
        assembled = self.assemble(plan)
        network = assembled.arm.network
        counters = {"epochs": 0, "seconds": 0.0, "images_per_second": 0.0}
        notes = list(assembled.notes)
        if assembled.trained:
            self.require_fitting_batch(assembled.arm)
            training = ArmTraining(assembled.arm, self.run_dir.arm(plan.name), self._surroundings(stop))
            try:
                training.run()
            finally:
                training.close()
            done = training.counters
            counters = {
                "epochs": done.epoch,
                "seconds": round(done.seconds, 3),
                "images_per_second": round(done.images / done.seconds, 3) if done.seconds else 0.0,
            }
            notes += [done.stopped] if done.stopped else []
        network.to(self.runtime.device)
        if self.runtime.is_main:
            self._finish_arm(assembled, network, counters, notes)

    def _finish_arm(
        self, assembled: Assembled, network: nn.Module, counters: Mapping[str, Any], notes: Sequence[str]
    ) -> None:
        """Score the selected weights once on every test set, and write weights and record."""
        plan, folder = assembled.arm.plan, self.run_dir.arm(assembled.arm.plan.name)
        main = self.resolved.spec.metric.name
        batch_size = assembled.arm.recipe.batch_size
        val = self._score(network, "val", batch_size)
        tests = {name: self._score(network, name, batch_size) for name in self.data.tests}
        save_weights(folder.weights, network)
        record = {
            "arm": plan.name,
            "generation": plan.generation,
            "role": plan.role,
            "teacher": plan.teacher,
            "network": assembled.arm.spec.name,
            "arguments": self._arguments(assembled.arm.spec),
            "taps": list(assembled.arm.spec.taps),
            "builder": self.networks_module,
            "input_mean": list(self.data.input_mean),
            "input_std": list(self.data.input_std),
            "classes": list(self.data.classes),
            "recipe": assembled.arm.recipe.model_dump(mode="json"),
            "params": sum(value.numel() for value in network.parameters()),
            "init": assembled.init,
            "val": val[main],
            "val_metrics": val,
            "test": next(iter(tests.values()))[main] if tests else None,
            "tests": tests,
            "fidelity": {},
            **counters,
            "peak_memory_mb": round(peak_megabytes(self.runtime.device), 1),
            "notes": list(notes),
            "environment": self.runtime.environment(),
        }
        write_json(folder.record_file, record)
        for state in folder.state.glob("*"):
            state.unlink()
        if folder.state.is_dir():
            folder.state.rmdir()
        reached = ", ".join(f"{figures[main]:.4g} on {name}" for name, figures in {"val": val, **tests}.items())
        self.log.arm_finished(plan.name, f"{main} {reached}")

    def _score(self, network: Callable[[Tensor], Tensor], part: str, batch_size: int) -> dict[str, float]:
        images = self.data.val if part == "val" else self.data.tests[part]
        evaluation = evaluate(
            network,
            images,
            spec=self.resolved.spec,
            metric=self.resolved.spec.metric.make(self.resolved.options, self.data),
            device=self.runtime.device,
            batch_size=batch_size,
        )
        return dict(evaluation.metrics)

    def _score_baselines(self) -> None:
        """What can be had without a network; arms are read against it."""
        if not self.runtime.is_main:
            return
        for name, function in self.resolved.spec.baselines(self.resolved.options).items():
            main = self.resolved.spec.metric.name
            val = self._score(function, "val", 1)
            tests = {part: self._score(function, part, 1) for part in self.data.tests}
            test = next(iter(tests.values()))[main] if tests else None
            self.baselines.append({"name": name, "val": val[main], "test": test, "tests": tests})
            self.log.message(f"without a network, {name}: {main} {val[main]:.4g} on validation, {test:.4g} on test")

    # -- the run ----------------------------------------------------------------------------------------------------

    def _surroundings(self, stop: StopSignal) -> Surroundings:
        return Surroundings(
            spec=self.resolved.spec,
            data=self.data,
            options=self.resolved.options,
            runtime=self.runtime,
            log=self.log,
            stop=stop,
            on_epoch=self._on_epoch,
            on_start=self._on_start,
        )

    def _on_epoch(self, line: Mapping[str, Any]) -> None:
        if self.runtime.is_main:
            self.run_dir.append_metrics(line)
            self.log.epoch(line)
        self.track(line)

    def _on_start(self, arm: str, epochs: int, steps: int) -> None:
        if self.runtime.is_main:
            self.run_dir.drop_metrics(arm, from_epoch=epochs + 1)
        if steps:
            self.log.message(f"{arm} goes on after step {steps}")

    def _result(self) -> dict[str, Any]:
        folders = [self.run_dir.arm(plan.name) for plan in self.plans]
        records = [folder.record() for folder in folders if folder.done]
        return make_result(
            self.resolved,
            self.data,
            records,
            baselines=self.baselines,
            complete=len(records) == len(self.plans),
            environment=self.runtime.environment(),
            command=self.command,
        )

    def _write_result(self) -> None:
        if self.runtime.is_main:
            self.run_dir.write_result(self._result())
