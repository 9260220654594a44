"""Whether a student without its teacher's share takes the very step that plain training takes."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from densedistill.distill.arm import Arm
from densedistill.distill.assembly import Assembler
from densedistill.distill.configuration.config import Resolved
from densedistill.distill.doctor.bench import BENCH_IMAGES, TRIES, gradients, on_bench, snapshot
from densedistill.distill.doctor.finding import Finding
from densedistill.distill.lessons.batch_norm import freeze_statistics
from densedistill.distill.machine.runtime import Runtime
from densedistill.distill.objective import LossTerm, without_teacher
from densedistill.distill.outputs import Batch, Prediction, StepOutputs
from densedistill.distill.seeds import derive

TOLERANCE = {"fp32": 0.02, "bf16": 0.15, "fp16": 0.15}
"""Of the difference of two steps over the length of one: shortcuts and half precision round differently."""
CHECK = "alpha 0 is plain training"


def check_alpha_zero(chain: Assembler, arm: Arm, images: int = BENCH_IMAGES) -> Finding:
    """One step of `arm` with its teacher's terms off, beside a step of plain PyTorch on the control arm's loss.

    Args:
        chain: of the request at alpha 0, where its method has one; see `without_alpha`.
        arm: as `chain` assembles it. Where the method has no alpha, its teacher's terms are given weight 0.
        images: in the batch.

    Both go by gradient descent at a learning rate of 1, so that a step is the gradient itself. The arm is used up.
    """
    name = arm.plan.name
    own = without_teacher(arm.terms)
    if arm.adapter is not None or not any(term.weight for term in own):
        why = "the method changes the student itself" if own else "the method has no term that needs no teacher"
        return Finding(check=CHECK, subject=name, status="skip", text=f"{why}: there is no plain training beside it")
    recipe = arm.recipe.changed(
        {
            "optimizer": "sgd",
            "momentum": 0.0,
            "nesterov": False,
            "weight_decay": 0.0,
            "learning_rate": 1.0,
            "schedule": "constant",
            "warmup_epochs": 0.0,
            "ema_decay": None,
        }
    )
    terms = arm.terms if has_alpha(chain.resolved) else muted_terms(arm)
    muted = dataclasses.replace(arm, recipe=recipe, terms=terms)
    before = snapshot(arm.network)
    with on_bench(chain, muted, images) as bench:
        for _ in range(TRIES):
            bench.step(0)
            batch, ours = bench.batch, _step_taken(before, arm.network)
            if _length(ours):
                break
        else:
            why = f"the first {TRIES} steps moved nothing, as where fp16's scaler finds its scale"
            return Finding(check=CHECK, subject=name, status="skip", text=why)
    arm.network.load_state_dict(before)
    plain_step(muted, own, batch, chain.runtime)
    difference = _distance(ours, _step_taken(before, arm.network))
    bound = TOLERANCE[chain.runtime.precision]
    agrees = difference <= bound
    return Finding(
        check=CHECK,
        subject=name,
        status="pass" if agrees else "fail",
        text=f"with the teacher's terms off, a step differs from a plain one by {difference:.2%} of its length",
        remedy=""
        if agrees
        else "see that every taught term of the method has weight 0 at alpha 0, and that none of its own terms reads "
        "the teacher",
        figures={"difference": difference, "bound": bound},
    )


def muted_terms(arm: Arm) -> tuple[LossTerm, ...]:
    """The arm's terms, the teacher's at weight 0 and the others at the weight they have alone."""
    return tuple(dataclasses.replace(term, weight=0.0 if term.needs_teacher else term.alone) for term in arm.terms)


def has_alpha(resolved: Resolved) -> bool:
    """Whether the method weighs its teacher's term by an alpha."""
    return "alpha" in type(resolved.parameters).model_fields


def without_alpha(resolved: Resolved) -> Resolved:
    """The request at `method.alpha` 0, where its method has one; further methods are left out."""
    if not has_alpha(resolved):
        return resolved
    parameters = resolved.parameters.model_copy(update={"alpha": 0.0})
    return dataclasses.replace(resolved, parameters=parameters, also=())


def plain_step(arm: Arm, terms: tuple[LossTerm, ...], batch: Batch, runtime: Runtime) -> None:
    """One step of gradient descent at a learning rate of 1, with none of the engine's code around it."""
    network = arm.network.train()
    if arm.recipe.freeze_batch_norm:
        freeze_statistics(network)
    torch.manual_seed(derive(arm.seed, "step", 0, runtime.rank))
    with runtime.autocast():
        output = network(batch["input"]).float()
        outputs = StepOutputs(batch=batch, student=Prediction(output=output, taps={}))
        losses: list[Tensor] = [term.weight * term.fn(outputs) for term in terms if term.weight]
    trained = [value for value in network.parameters() if value.requires_grad]
    found = gradients(torch.stack(losses).sum(), trained, runtime)
    known = [gradient for gradient in found if gradient is not None]
    bound, norm = arm.recipe.clip_norm, float(nn.utils.get_total_norm(known))
    share = 1.0 if bound is None else min(1.0, bound / (norm + 1e-6))
    with torch.no_grad():
        for value, gradient in zip(trained, found, strict=True):
            if gradient is not None:
                value.sub_(share * gradient)


def _step_taken(before: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    return {
        name: value.detach().double() - before[name].double()
        for name, value in network.named_parameters()
        if value.requires_grad
    }


def _length(step: dict[str, Tensor]) -> float:
    return float(torch.stack([value.square().sum() for value in step.values()]).sum().sqrt())


def _distance(ours: dict[str, Tensor], plain: dict[str, Tensor]) -> float:
    length = _length(plain)
    apart = float(torch.stack([(ours[name] - value).square().sum() for name, value in plain.items()]).sum().sqrt())
    return apart / length if length else float(apart > 0)
