"""What a run's teacher cache holds, where it lies, and what its answers depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densedistill.distill.arm import Arm
from densedistill.distill.arm_names import arm_name
from densedistill.distill.assembly import Assembler
from densedistill.distill.cache.plan import CachePlan, plan_cache
from densedistill.distill.configuration.immaterial import HOW_DATA_ARE_READ, among
from densedistill.distill.probe import sample_batch
from densedistill.distill.teacher import Teacher

EXAMPLE_IMAGES = 2
"""Enough to learn the shapes of an answer."""


class CachingAssembler(Assembler):
    """An assembler that knows the teacher cache of its run."""

    def cache_plan(self, teacher: Teacher, cycle: int) -> CachePlan:
        """What would be kept of `teacher`'s answers to `cycle` views of each training image.

        Raises:
            RequestError: its answers cannot be kept.
        """
        answer = teacher(sample_batch(self.data_taught_by(teacher.name), EXAMPLE_IMAGES, self.runtime))
        # Of many classes only the largest logits are kept, where that does: exact in the tail's mass at the
        # temperature of the loss. Losses of several temperatures have all logits.
        asked = self.resolved.temperatures
        whole = len(asked) > 1 or any(method.needs.whole_logits for method, _parameters in self.resolved.methods)
        classes = answer.output.shape[1] if whole and answer.output.ndim == 2 else None
        return plan_cache(answer, len(self.data.train), cycle, classes, max(asked, default=1.0))

    def cache_folder(self, teacher: str, generation: int) -> Path:
        """Where the answers of arm `teacher` to the views of `generation` lie."""
        root = self.resolved.config.teacher_cache_root or self.run_dir.teacher_cache
        return root / f"{teacher}-to-{arm_name(generation, 'student')}"

    def cache_key(self, teacher: Teacher, arm: Arm) -> Mapping[str, Any]:
        """Everything the answers depend on; a cache of another key is made anew."""
        folder = self.run_dir.arm(teacher.name)
        record = folder.record()
        options = self.resolved.options.model_dump(mode="python")
        return {
            "teacher": {
                "weights": hashlib.sha256(folder.weights.read_bytes()).hexdigest(),
                "network": record["network"],
                "arguments": record["arguments"],
                "taps": list(teacher.taps),
                "path": list(teacher.shortcuts),
            },
            "data": self.data.fingerprint,
            # Where the data lies does not matter: its fingerprint does.
            "views": {
                name: repr(value)
                for name, value in options.items()
                if not isinstance(value, Path) and not among(f"data.{name}", HOW_DATA_ARE_READ)
            },
            "seed": arm.seed,
            "precision": self.runtime.precision,
            "device": self.runtime.device.type,
        }
