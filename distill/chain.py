"""The chain: generations one after another, each student the next one's teacher, with controls beside it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import nn

from densedistill.distill.arm import Arm, ArmPlan, lessons
from densedistill.distill.assembly import Assembled
from densedistill.distill.cache.answers import Answers, keep_answers
from densedistill.distill.cache.assembler import CachingAssembler
from densedistill.distill.files import write_json
from densedistill.distill.lessons.choices import Choices
from densedistill.distill.lessons.lesson import Lesson
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.machine.allocator import keep_freed_memory
from densedistill.distill.machine.collective import from_main
from densedistill.distill.machine.memory import peak_megabytes, reset_peak
from densedistill.distill.machine.signals import StopSignal
from densedistill.distill.networks import Pretrained
from densedistill.distill.record import COPIED, Course, Measured, record_of
from densedistill.distill.result import make_result
from densedistill.distill.run_parts import RunParts
from densedistill.distill.scoring import Scoring
from densedistill.distill.starts import RANDOM, Starts
from densedistill.distill.surroundings import Surroundings
from densedistill.distill.teacher import Teacher
from densedistill.distill.tensors import save_weights
from densedistill.distill.transfer import read_earlier, require_same_data


class Chain(CachingAssembler):
    """All arms of a run, in order. Finished arms are not run again, an unfinished one goes on from its state."""

    def __init__(
        self,
        parts: RunParts,
        *,
        networks_module: str,
        track: Callable[[Mapping[str, Any]], None],
        command: Sequence[str],
    ) -> None:
        """The run of `parts`.

        Args:
            parts: of the run.
            networks_module: where `parts.networks` is to be imported from, as arms' records have it.
            track: takes the line of each epoch, beside the log.
            command: what asked for the run, for its result.

        Raises:
            RequestError: the run that it is to be compared with cannot be, or had other data.
        """
        super().__init__(parts)
        config = self.resolved.config
        self.networks_module, self.track, self.command = networks_module, track, command
        self.speed = config.speed
        if self.speed.keep_freed_memory and self.runtime.device.type == "cpu":
            keep_freed_memory()
        self.baselines: list[dict[str, Any]] = []
        self.starts = Starts(self.run_dir, write=self.runtime.is_main)
        self.stop = StopSignal()
        self.scoring = Scoring(self, self.stop.heed)
        self.earlier = read_earlier(config.compared_with, config.task, self.resolved.spec.metric)
        require_same_data("compared_with", config.compared_with, self.data)

    def policy_for(self, plan: ArmPlan) -> Pretrained:
        """What was decided for the first arm of `plan`'s network holds for all, and after a restart."""
        known = self.starts.of(plan)
        if known is None:
            return super().policy_for(plan)
        return "none" if known == RANDOM else "required"

    def _network(self, plan: ArmPlan) -> tuple[nn.Module, str, bool]:
        network, init, trained = super()._network(plan)
        decided = from_main(init)
        self.starts.decide(plan, decided)
        # Where providers' weights could not be had, or only here, the main process's start is everybody's.
        return (network, init, trained) if init == decided else super()._network(plan)

    def run(self, probed: Mapping[str, int | None] = MappingProxyType({})) -> dict[str, Any]:
        """Run every arm that is not done and return the result.

        Args:
            probed: what is known already of the memory that arms need; see `dry_run.preflight`.

        Raises:
            RequestError: a network, weights file or batch size cannot be used.
            RunFailedError: training failed; finished arms and the last good state are kept.
            InterruptedRunError: a signal arrived; the state is saved.
        """
        with self.stop:
            self._score_baselines()
            self._write_result()
            for lesson in lessons(self.plans):
                left = [plan for plan in lesson if not self.run_dir.arm(plan.name).done]
                for plan in lesson:
                    if plan not in left:
                        self.log.message(f"{plan.name} is done already")
                if left:
                    self._run_lesson(left, probed)
                    self.runtime.accelerator.wait_for_everyone()
                self._write_result()
        if self.runtime.is_main and self.resolved.config.teacher_cache_root is None:
            shutil.rmtree(self.run_dir.teacher_cache, ignore_errors=True)
        return self._result()

    # -- a lesson ----------------------------------------------------------------------------------------------------

    def _run_lesson(self, plans: Sequence[ArmPlan], probed: Mapping[str, int | None]) -> None:
        """Train the arms that learn together, and finish each."""
        reset_peak(self.runtime.device)
        teacher = None if plans[0].teacher is None else self.teacher(plans[0].teacher)
        assembled = [self.assemble(plan, teacher) for plan in plans]
        courses = [Course(notes=list(one.notes)) for one in assembled]
        if teacher is not None:
            self.prepare(teacher, assembled[0].arm.recipe.batch_size, lambda text: self._note(courses, text))
        if assembled[0].trained:
            self._train([one.arm for one in assembled], courses, probed)
        for one, course in zip(assembled, courses, strict=True):
            self.placed(one.arm.network)
            if self.runtime.is_main:
                self._finish_arm(one, course)

    def _note(self, courses: Sequence[Course], text: str) -> None:
        """Say something of all arms of a lesson, and record it with each."""
        for course in courses:
            course.notes.append(text)
        self.log.message(text, "warning")

    def _train(self, arms: Sequence[Arm], courses: Sequence[Course], probed: Mapping[str, int | None]) -> None:
        """One lesson; each arm's course takes how it went."""
        choices = Choices(self.run_dir.arm(arms[0].plan.name).state / "choices.json", write=self.runtime.is_main)
        size = self._chosen_micro_batch(arms, choices, probed)
        around = dataclasses.replace(self._surroundings(), data=self.data_for(arms[0].plan))
        trainings: list[ArmTraining] = []
        answers: Answers | None = None
        try:
            for arm in arms:
                folder = self.run_dir.arm(arm.plan.name)
                trainings.append(ArmTraining(dataclasses.replace(arm, micro_batch=size), folder, around))
            answers = None if arms[0].teacher is None else self._answers(arms[0], arms[0].teacher)
            lesson = Lesson(trainings, answers, around, self.stop, choices)
            lesson.run()
        finally:
            if answers is not None:
                answers.close()
            for training in trainings:
                training.close()
        together = ", ".join(arm.plan.name for arm in arms)
        for course, training in zip(courses, trainings, strict=True):
            course.counters, course.notices = training.counters, training.supervision.watch.notices
            said = course.notes
            said += [training.counters.stopped] if training.counters.stopped else []
            said += [f"batches of {training.recipe.batch_size} in parts of at most {size} images"] if size else []
            said += [f"trained together: {together}"] if len(arms) > 1 else []
            said += [f"compiled: {', '.join(lesson.compilation.compiled)}"] if lesson.compilation.compiled else []

    def _answers(self, arm: Arm, teacher: Teacher) -> Answers:
        """Where the teacher's answers come from: the teacher itself, or a cache of them."""
        if arm.cycle is None:
            return Answers(teacher)
        plan = self.cache_plan(teacher, arm.cycle)
        folder = self.cache_folder(teacher.name, arm.plan.generation)
        self.log.message(f"teacher cache in '{folder}': {plan.describe()}")
        key = self.cache_key(teacher, arm)
        for turn in (True, False):
            if self.runtime.is_main == turn:
                answers = keep_answers(teacher, folder, key, plan, self.runtime.device, self.log.message, create=turn)
            self.runtime.accelerator.wait_for_everyone()
        return answers

    def _chosen_micro_batch(
        self, arms: Sequence[Arm], choices: Choices, probed: Mapping[str, int | None]
    ) -> int | None:
        """Most images in one forward pass, as this lesson began with it."""
        if "micro_batch" not in choices:
            names = [arm.plan.name for arm in arms]
            known = len(arms) == 1 and names[0] in probed
            size = from_main(probed[names[0]] if known else self.micro_batch(arms))
            choices.take({"micro_batch": size})
            if size is not None:
                self.log.message(f"batches are taken in parts of at most {size} images; batch-norm measures each part")
        chosen: int | None = choices["micro_batch"]
        return chosen

    def _finish_arm(self, assembled: Assembled, course: Course) -> None:
        """Score the selected weights once on every test set, and write weights and record."""
        plan, network, batch_size = assembled.arm.plan, assembled.arm.network, assembled.arm.recipe.batch_size
        folder, data, main = self.run_dir.arm(plan.name), self.data_for(plan), self.resolved.spec.metric.name
        scores = self.scoring.score(network, data, batch_size)
        save_weights(folder.weights, network)
        measured = Measured(
            scores=scores,
            fidelity=self.scoring.fidelity(plan, scores, batch_size),
            peak_megabytes=peak_megabytes(self.runtime.device),
            latency_ms=self.scoring.latency_ms(network, data),
        )
        record = record_of(
            assembled,
            course,
            measured,
            metric=main,
            data=data,
            arguments=self.arguments_of(plan),
            builder=self.networks_module,
            environment=self.runtime.environment(),
        )
        write_json(folder.record_file, record)
        for state in folder.state.glob("*"):
            state.unlink()
        if folder.state.is_dir():
            folder.state.rmdir()
        sets = {"val": scores.val, **scores.tests}
        reached = ", ".join(f"{figures[main]:.4g} on {name}" for name, figures in sets.items())
        self.log.arm_finished(plan.name, f"{main} {reached}")

    def _score_baselines(self) -> None:
        """What can be had without a network; arms are read against it."""
        if not self.runtime.is_main:
            return
        for name, function in self.resolved.spec.baselines(self.resolved.options).items():
            main = self.resolved.spec.metric.name
            scores = self.scoring.score(function, self.data, 1)
            val, tests = scores.val, scores.tests
            test = next(iter(tests.values()))[main] if tests else None
            self.baselines.append({"name": name, "val": val[main], "test": test, "tests": tests})
            on_test = "" if test is None else f", {test:.4g} on test"
            self.log.message(f"without a network, {name}: {main} {val[main]:.4g} on validation{on_test}")

    # -- the run ----------------------------------------------------------------------------------------------------

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            spec=self.resolved.spec,
            data=self.data,
            options=self.resolved.options,
            runtime=self.runtime,
            log=self.log,
            on_epoch=self._on_epoch,
            on_start=self._on_start,
            speed=self.speed,
            heed=self.stop.heed,
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
        records = [folder.record("variant", *COPIED) for folder in folders if folder.done]
        return make_result(
            self.resolved,
            self.data,
            records,
            baselines=self.baselines,
            complete=len(records) == len(self.plans),
            environment=self.runtime.environment(),
            command=self.command,
            earlier=self.earlier,
            doctor=self.run_dir.doctor(),
        )

    def _write_result(self) -> None:
        if self.runtime.is_main:
            self.run_dir.write_result(self._result())
