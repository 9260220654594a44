"""The chain: generations one after another, each student the next one's teacher, with controls beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from densedistill.distill.arm import Arm, ArmPlan, plan_arms
from densedistill.distill.config import Resolved
from densedistill.distill.data import TaskData
from densedistill.distill.errors import RequestError
from densedistill.distill.evaluation import evaluate
from densedistill.distill.files import save_weights, write_json
from densedistill.distill.memory import PROBE_IMAGES, peak_megabytes, require_memory, reset_peak
from densedistill.distill.networks import NetworkSource, Pretrained
from densedistill.distill.objective import LossTerm, without_teacher
from densedistill.distill.probe import estimate_memory, sample_batch, shapes
from densedistill.distill.progress import RunLog
from densedistill.distill.result import make_result
from densedistill.distill.run_dir import RunDir
from densedistill.distill.runtime import Runtime
from densedistill.distill.seeds import derive
from densedistill.distill.signals import StopSignal
from densedistill.distill.spec import NetworkSpec, TermContext
from densedistill.distill.student import rebuild
from densedistill.distill.teacher import Teacher
from densedistill.distill.training import ArmTraining, Surroundings


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembled:
    """An arm and what its record says of its start."""

    arm: Arm
    init: str
    notes: tuple[str, ...]
    trained: bool
    """False where a weights file was given for the teacher: then it is only evaluated."""


class Chain:
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
        self.resolved, self.data, self.networks = resolved, data, networks
        self.networks_module = networks_module
        self.runtime, self.run_dir, self.log = runtime, run_dir, log
        self.track, self.command = track, command
        self.plans = plan_arms(resolved.config.generations, resolved.config.controls)
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

    def require_fitting_batch(self, arm: Arm) -> None:
        """Refuse a batch that is estimated not to fit in memory.

        Raises:
            RequestError: with the largest batch that would fit.
        """
        batch = sample_batch(self.data, PROBE_IMAGES, self.runtime)
        share = -(-arm.recipe.batch_size // self.runtime.processes)
        require_memory(estimate_memory(arm, batch, self.runtime), share, self.runtime.device, arm.plan.name)

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
        self.log.arm_finished(plan.name, f"{main} {record['val']:.4g} on validation, {record['test']:.4g} on test")

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

    # -- putting an arm together ------------------------------------------------------------------------------------

    def assemble(self, plan: ArmPlan) -> Assembled:
        """Networks, losses and recipe of one arm. The teacher must be done."""
        config = self.resolved.config
        spec = config.networks[plan.generation - 1]
        network, init, trained = self._network(plan, spec)
        network.to(self.runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        notes: list[str] = []

        def warn(text: str) -> None:
            notes.append(text)
            self.log.message(f"{plan.name}: {text}", "warning")

        teacher = None if plan.teacher is None else self.teacher(plan.teacher)
        terms = self._terms(plan, spec, network, teacher, warn)
        arm = Arm(
            plan=plan,
            spec=spec,
            network=network,
            terms=terms,
            teacher=teacher,
            recipe=config.recipe_of(plan.generation, pretrained=init != "random"),
            seed=derive(config.seed, "train", plan.generation),
        )
        if arm.recipe.batch_size % self.runtime.processes:
            raise RequestError(
                f"batch size {arm.recipe.batch_size} does not divide among {self.runtime.processes} processes: give a "
                "multiple of their number."
            )
        return Assembled(arm=arm, init=init, notes=tuple(notes), trained=trained)

    def _network(self, plan: ArmPlan, spec: NetworkSpec) -> tuple[nn.Module, str, bool]:
        """The network, where its weights come from, and whether it is to be trained.

        All arms of a generation start from the same weights: they differ in what teaches them, and in nothing else.
        """
        config = self.resolved.config
        weights = {1: config.teacher_weights, 2: config.student_weights}.get(plan.generation)
        with torch.random.fork_rng():
            torch.manual_seed(derive(config.seed, "init", plan.generation))
            policy: Pretrained = "none" if weights is not None else config.pretrained
            built = self.networks.build(spec.name, self._arguments(spec), pretrained=policy)
        if built.warning:
            self.log.message(f"{plan.name}: {built.warning}", "warning")
        if weights is None:
            return built.module, built.init, True
        self.networks.load_weights(built.module, weights)
        if plan.generation == 1:
            self.log.message(f"{plan.name} takes its weights from {weights} and is not trained")
        return built.module, f"file {weights.name}", plan.generation != 1

    def _arguments(self, spec: NetworkSpec) -> dict[str, Any]:
        derived = self.resolved.spec.network_arguments(spec.name, self.resolved.options, self.data)
        return {**derived, **spec.arguments}

    def network_of(self, arm: str) -> nn.Module:
        """A finished arm's network, in evaluation mode on the run's device."""
        network = rebuild(self.run_dir.arm(arm), self.networks)
        return network.to(self.runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def teacher(self, arm: str) -> Teacher:
        """A finished arm as a teacher."""
        generation = next(plan.generation for plan in self.plans if plan.name == arm)
        taps = self.resolved.config.networks[generation - 1].taps
        return Teacher(arm, self.network_of(arm), taps, self.runtime.autocast)

    def _terms(
        self,
        plan: ArmPlan,
        spec: NetworkSpec,
        network: nn.Module,
        teacher: Teacher | None,
        warn: Callable[[str], None],
    ) -> Sequence[LossTerm]:
        student_taps: Mapping[str, torch.Size] = {}
        teacher_taps: Mapping[str, torch.Size] = {}
        if teacher is not None and (spec.taps or teacher.taps):
            batch = sample_batch(self.data, PROBE_IMAGES, self.runtime)
            student_taps = shapes(network, spec.taps, batch).taps
            teacher_taps = shapes(teacher.network, teacher.taps, batch).taps
        context = TermContext(
            has_teacher=teacher is not None,
            student_taps=student_taps,
            teacher_taps=teacher_taps,
            seed=derive(self.resolved.config.seed, "projectors", plan.generation),
            pretrained=self.resolved.config.pretrained,
            warn=warn,
        )
        terms = self.resolved.method.terms(self.resolved.parameters, context)
        return terms if teacher is not None else without_teacher(terms)

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
