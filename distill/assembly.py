"""Putting an arm together: its networks, its losses, its recipe."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from densedistill.distill.arm import Arm, ArmPlan, chosen, plan_arms
from densedistill.distill.data import TaskData
from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import found_features
from densedistill.distill.lessons.micro_batches import smallest_piece
from densedistill.distill.machine.generator import seeded
from densedistill.distill.machine.memory import PROBE_IMAGES, MemoryEstimate, fitting_images, require_memory
from densedistill.distill.machine.runtime import place
from densedistill.distill.method_context import adapted, combined_terms, look, moved, own_terms, training_labels
from densedistill.distill.networks import BuiltNetwork, Pretrained
from densedistill.distill.probe import estimate_memory, sample_batch, sample_batches
from densedistill.distill.run_parts import RunParts
from densedistill.distill.seeds import derive
from densedistill.distill.spec import NetworkSpec, OwnContext, TermContext
from densedistill.distill.student import rebuild
from densedistill.distill.teacher import Teacher, teacher_input

CALIBRATION_BATCHES = 4
"""From which an int8 teacher takes its ranges, and as many on which it is then measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembled:
    """An arm and what its record says of its start."""

    arm: Arm
    init: str
    notes: tuple[str, ...]
    trained: bool
    """False where a weights file was given for the teacher: then it is only evaluated."""


class Assembler:
    """Makes the arms of a resolved configuration, one at a time; finished arms are read from the run's folder."""

    def __init__(self, parts: RunParts) -> None:
        self.parts = parts
        self.resolved, self.data, self.networks = parts.resolved, parts.data, parts.networks
        self.runtime, self.run_dir, self.log = parts.runtime, parts.run_dir, parts.log
        config = self.resolved.config
        self.plans = chosen(plan_arms(config.generations, config.controls, len(config.students)), config.only)

    def policy_for(self, plan: ArmPlan) -> Pretrained:
        """On providers' weights for `plan`'s network; methods go by the configuration's for what they read with."""
        return self.resolved.config.pretrained

    def data_for(self, plan: ArmPlan) -> TaskData:
        """The data as `plan`'s arm takes it: input sizes may differ between generations."""
        return self.data.for_arm(plan.generation, None if plan.teacher is None else self._plan(plan.teacher).generation)

    def data_taught_by(self, teacher: str) -> TaskData:
        """The data as students of arm `teacher` take it."""
        generation = self._plan(teacher).generation
        return self.data.for_arm(generation + 1, generation)

    def _plan(self, arm: str) -> ArmPlan:
        return next(plan for plan in self.plans if plan.name == arm)

    def assemble(self, plan: ArmPlan, teacher: Teacher | None = None) -> Assembled:
        """Networks, losses and recipe of one arm. `teacher` is the plan's, which must be done; None: it is read."""
        config = self.resolved.config
        spec = config.network(plan.generation, plan.variant)
        network, init, trained = self._network(plan)
        self.placed(network)
        notes: list[str] = []

        def warn(text: str) -> None:
            notes.append(text)
            self.log.message(f"{plan.name}: {text}", "warning")

        if teacher is None and plan.teacher is not None:
            teacher = self.teacher(plan.teacher)
        own = OwnContext(pretrained=config.pretrained, warn=warn)
        adapter: Mapping[str, Any] | None = None
        if teacher is None:
            terms = own_terms(self.resolved.methods, own)
        else:
            taps = self._taps(plan, spec, network)
            context = self._beside(teacher, plan, network, own)
            changed = adapted(self.resolved.methods, network, context)
            if changed is not None:
                network = self.placed(changed.network)
                taps = (*(f"{changed.moved}.{path}" for path in taps), *changed.taps)
                context, adapter = moved(context, changed.moved), changed.record.model_dump(mode="json")
            spec = spec.model_copy(update={"taps": taps})
            terms = combined_terms(self.resolved.methods, context)
        arm = Arm(
            plan=plan,
            spec=spec,
            network=network,
            terms=terms,
            teacher=teacher,
            adapter=adapter,
            recipe=config.recipe_of(plan.generation, pretrained=init != "random"),
            seed=derive(config.seed, "train", plan.generation),
            cycle=config.teacher_cache if plan.generation > 1 else None,
        )
        if arm.recipe.batch_size % self.runtime.processes:
            raise RequestError(
                f"batch size {arm.recipe.batch_size} does not divide among {self.runtime.processes} processes: give a "
                "multiple of their number."
            )
        return Assembled(arm=arm, init=init, notes=tuple(notes), trained=trained)

    def _network(self, plan: ArmPlan) -> tuple[nn.Module, str, bool]:
        """The network, where its weights come from, and whether it is to be trained."""
        config = self.resolved.config
        weights = {1: config.teacher_weights, 2: config.student_weights}.get(plan.generation)
        built = self.fresh(plan, "none" if weights is not None else self.policy_for(plan))
        if built.warning:
            self.log.message(f"{plan.name}: {built.warning}", "warning")
        if weights is None:
            return built.module, built.init, True
        self.networks.load_weights(built.module, weights)
        if plan.generation == 1:
            self.log.message(f"{plan.name} takes its weights from {weights} and is not trained")
        return built.module, f"file {weights.name}", plan.generation != 1

    def fresh(self, plan: ArmPlan, policy: Pretrained) -> BuiltNetwork:
        """`plan`'s network before any training, with the provider's weights by `policy`.

        All arms of a generation start from the same weights: they differ in what teaches them, and in nothing else.
        """
        config = self.resolved.config
        name = config.network(plan.generation, plan.variant).name
        with seeded(derive(config.seed, "init", plan.generation)):
            return self.networks.build(name, self.arguments_of(plan), pretrained=policy)

    def placed(self, network: nn.Module) -> nn.Module:
        """`network` on the run's device, in the memory format that it computes in."""
        return place(network, self.runtime.device, channels_last=self.resolved.config.speed.channels_last)

    def arguments_of(self, plan: ArmPlan) -> dict[str, Any]:
        """What `plan`'s network is built with: what follows from the data, and what the configuration gives.

        Raises:
            RequestError: the configuration gives another value where only the data can tell.
        """
        spec = self.resolved.config.network(plan.generation, plan.variant)
        derived = self.resolved.spec.network_arguments(spec.name, self.resolved.options, self.data_for(plan))
        for name in self.resolved.spec.decided:
            if name in derived and spec.arguments.get(name, derived[name]) != derived[name]:
                raise RequestError(
                    f"{plan.name}, '{spec.name}', is given {name}={spec.arguments[name]}, and for data set "
                    f"'{self.data.name}' it must be {derived[name]}: leave it out of the network's arguments"
                )
        return {**derived, **spec.arguments}

    def network_of(self, arm: str) -> nn.Module:
        """A finished arm's network, in evaluation mode on the run's device."""
        return self.placed(rebuild(self.run_dir.arm(arm), self.networks))

    def teacher(self, arm: str) -> Teacher:
        """A finished arm as a teacher."""
        plan = self._plan(arm)
        network = self.network_of(arm)
        taps = self._taps(plan, self.resolved.config.network(plan.generation, plan.variant), network, teaches=True)
        return Teacher(arm, network, taps, self.runtime.autocast)

    def prepare(self, teacher: Teacher, batch_size: int, say: Callable[[str], None]) -> None:
        """Let `teacher` take its shortcuts, checked on a batch as training will give it."""
        speed, share = self.resolved.config.speed, -(-batch_size // self.runtime.processes)
        data = self.data_taught_by(teacher.name)
        if speed.int8_teacher:
            batches = list(sample_batches(data, 2 * CALIBRATION_BATCHES, share, self.runtime))
            teacher.quantise(batches[:CALIBRATION_BATCHES], batches[CALIBRATION_BATCHES:], self.runtime)
        else:
            teacher.prepare(sample_batch(data, share, self.runtime), speed, self.runtime, say)

    def _taps(self, plan: ArmPlan, spec: NetworkSpec, network: nn.Module, *, teaches: bool = False) -> tuple[str, ...]:
        """The taps that the configuration gives, else those that the methods need."""
        roles = self.resolved.roles(teaches=teaches)
        if spec.taps or not roles:
            return spec.taps
        images = sample_batch(self.data_for(plan), PROBE_IMAGES, self.runtime)["input"]
        return found_features(network, images).paths(roles)

    def _beside(self, teacher: Teacher, plan: ArmPlan, network: nn.Module, own: OwnContext) -> TermContext:
        """What a method may know of `plan`'s arm beside its teacher, with what a pass of either network shows."""
        config, speed, roles = self.resolved.config, self.resolved.config.speed, self.resolved.roles
        teaching = self._plan(teacher.name)
        batch = sample_batch(self.data_for(plan), PROBE_IMAGES, self.runtime)
        mine = look(network, batch["input"], config.network(plan.generation, plan.variant).taps, roles(teaches=False))
        given = config.network(teaching.generation, teaching.variant).taps
        theirs = look(teacher.network, teacher_input(batch), given, roles(teaches=True))
        recipe = config.recipe_of(plan.generation, pretrained=False)
        share = recipe.batch_size // self.runtime.processes
        return TermContext(
            pretrained=own.pretrained,
            warn=own.warn,
            student_taps=mine.taps,
            teacher_taps=theirs.taps,
            student_features=mine.features,
            teacher_features=theirs.features,
            student_output=mine.output,
            teacher_output=theirs.output,
            teacher_network=teacher.network,
            probe=batch,
            images=len(self.data.train),
            labels=training_labels(self.data),
            batch_size=smallest_piece(share, speed.micro_batch if isinstance(speed.micro_batch, int) else None),
            epochs=recipe.epochs,
            seed=derive(config.seed, "projectors", plan.generation),
        )

    def micro_batch(self, arms: Sequence[Arm]) -> int | None:
        """Most images that each process shall take at once, with all `arms` in memory; None: its whole batch.

        Raises:
            RequestError: the batch does not fit, and the configuration does not ask for parts of it.
        """
        wanted = self.resolved.config.speed.micro_batch
        if isinstance(wanted, int):
            return wanted
        share = -(-arms[0].recipe.batch_size // self.runtime.processes)
        names = ", ".join(arm.plan.name for arm in arms)
        batch = sample_batch(self.data_for(arms[0].plan), PROBE_IMAGES, self.runtime)
        estimate = functools.reduce(MemoryEstimate.beside, (estimate_memory(arm, batch, self.runtime) for arm in arms))
        if wanted is None:
            require_memory(estimate, share, self.runtime.device, names)
            return None
        fitting = fitting_images(estimate, share, self.runtime.device, names)
        return None if fitting == share else fitting
