"""When to compile: what compiling cost and gained on this machine before, and whether the steps left repay it."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from densedistill.distill.files import read_json, write_json
from densedistill.distill.machine.cache_folder import cache_folder
from densedistill.distill.machine.runtime import processor_name

SCHEMA = 1
MOST_RECORDS = 500
"""The oldest are dropped beyond this; a record is some 200 bytes."""

Kind = Literal["teacher", "student"]
"""`teacher`: forward only; `student`: forward and backward."""

PRIOR_SECONDS_PER_OPERATION: Mapping[Kind, float] = {"teacher": 19 / 310, "student": 40 / 157}
"""Compile time per leaf module with an empty Inductor cache, two cores, PyTorch 2.15: the folded ResNet101 took 19 s
for 310 leaf modules, MobileNetV2 forward and backward 40 s for 157."""
MOST_GAIN = 0.2
"""Share of a step that compiling may be hoped to save where nothing was measured: folded ResNet101 in bf16 saved 0.19,
U-Nets at 256 pixels 0 to 0.2."""
MARGIN = 1.2
"""How many times over the saving must repay the compilation: both are estimates."""

HARDLY_FELT = 0.01
"""Share of the time left that a try may cost whatever was measured before: another day, under other load, the same
network may have looked slower compiled than it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompileRecord:
    """One compilation, as measured on this machine."""

    kind: Kind
    operations: int
    """Leaf modules."""
    compile_seconds: float
    """The last time; a second compilation finds most of it in Inductor's cache."""
    cold_seconds: float
    """The longest time seen, which is what the first took."""
    eager_seconds: float
    """One step, or one teacher's forward, without compilation."""
    compiled_seconds: float
    """The same compiled, measured at the same time."""

    def __post_init__(self) -> None:
        times = (self.compile_seconds, self.cold_seconds, self.eager_seconds, self.compiled_seconds)
        if self.kind not in PRIOR_SECONDS_PER_OPERATION or self.operations < 1:
            raise ValueError(f"no record of a compilation: kind '{self.kind}', {self.operations} operations")
        if not all(math.isfinite(seconds) and seconds > 0 for seconds in times):
            raise ValueError(f"times must be positive and finite: {times}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether to compile."""

    compile: bool
    why: str
    """One clause with the figures that decided."""
    predicted_seconds: float
    """How long compiling is expected to take."""


def worth_compiling(
    steps_left: int,
    eager_seconds: float,
    record: CompileRecord | None,
    operations: int,
    seconds_per_operation: float,
) -> Decision:
    """Compile where the steps left save `MARGIN` times what compiling takes, or where a try is hardly felt.

    Args:
        steps_left: steps to come with this network and shape.
        eager_seconds: one of them without compilation, in seconds.
        record: what compiling this network cost and gained before; None: never measured, so the time is predicted
            from `operations` and the saving is `MOST_GAIN`, the best that can be hoped for.
        operations: leaf modules of the network (`leaf_modules`).
        seconds_per_operation: `CompileRecords.seconds_per_operation`.
    """
    if record is None:
        cost, share = operations * seconds_per_operation, MOST_GAIN
        basis = f"at most {share:.0%} of {eager_seconds:.3g} s a step, estimated"
    else:
        # As a share: this run's steps may be slower or faster than those of the record, compiled or not.
        cost, share = record.compile_seconds, 1 - record.compiled_seconds / record.eager_seconds
        basis = f"{share:.0%} of {eager_seconds:.3g} s a step, measured before"
    left = max(steps_left, 0) * eager_seconds
    repaid = left * share > cost * MARGIN
    if not repaid and left * HARDLY_FELT > cost * MARGIN:
        return Decision(
            compile=True,
            why=f"{cost:.3g} s of compiling are hardly felt in {left:.3g} s, so it is tried anew ({basis})",
            predicted_seconds=cost,
        )
    verb = "repay" if repaid else "do not repay"
    return Decision(
        compile=repaid,
        why=f"{max(steps_left, 0)} steps {verb} {cost:.3g} s of compiling ({basis})",
        predicted_seconds=cost,
    )


def leaf_modules(network: nn.Module) -> int:
    """How many modules have no modules inside: a measure of what there is to compile."""
    return sum(not any(module.children()) for module in network.modules())


def record_key(kind: Kind, network: nn.Module, shape: Sequence[int], precision: str) -> str:
    """What a measurement holds for: this network's structure, input shape and precision, on this machine and PyTorch.

    Args:
        kind: teacher or student.
        network: its values do not matter.
        shape: of the images, (B, C, H, W).
        precision: the run's.
    """
    sizes = [(name, tuple(value.shape), str(value.dtype)) for name, value in network.named_parameters()]
    facts = (
        kind,
        hashlib.sha256(f"{network!r}{sizes}".encode()).hexdigest(),
        tuple(shape),
        precision,
        torch.get_num_threads(),
        torch.cuda.get_device_name() if sizes and next(network.parameters()).is_cuda else processor_name(),
        str(torch.__version__),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


class CompileRecords:
    """Records of compilations in a small JSON file. One that is damaged or of another schema counts as empty."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder() / "compilations.json"

    def get(self, key: str) -> CompileRecord | None:
        """The record under `record_key`'s key."""
        return self._read().get(key)

    def add(self, key: str, record: CompileRecord) -> None:
        """Keep `record` in place of an earlier one, of which the longest compile time stays.

        A file that cannot be written costs a later run its estimate, so nothing is raised. Of two processes that write
        at once the later one's records stay.
        """
        records = self._read()
        earlier = records.pop(key, None)
        if earlier is not None:
            record = replace(record, cold_seconds=max(earlier.cold_seconds, record.cold_seconds))
        newest = [*records.items(), (key, record)][-MOST_RECORDS:]
        try:
            write_json(self.path, {"schema": SCHEMA, "records": {name: asdict(kept) for name, kept in newest}})
        except OSError:
            return

    def seconds_per_operation(self, kind: Kind) -> float:
        """The median of this machine's own first compilations of `kind`, or the prior where there are none."""
        own = [record.cold_seconds / record.operations for record in self._read().values() if record.kind == kind]
        return statistics.median(own) if own else PRIOR_SECONDS_PER_OPERATION[kind]

    def _read(self) -> dict[str, CompileRecord]:
        try:
            content = read_json(self.path)
            if content["schema"] != SCHEMA:
                return {}
            return {str(key): CompileRecord(**value) for key, value in content["records"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}
