"""What one step of a student shows: its teacher stays as it is, its projectors move, and every loss term teaches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from densedistill.distill.arm import Arm
from densedistill.distill.doctor.bench import TRIES, Bench, changed, gradients, snapshot
from densedistill.distill.doctor.finding import Finding
from densedistill.distill.machine.runtime import Runtime
from densedistill.distill.outputs import Prediction, StepOutputs

OUT_OF_SCALE = 100.0
"""How many times the gradient of all other terms together one term's may be, or they its."""
TRAINED = "trained by the optimiser"
OWN_IT = "make the loss term an nn.Module that owns its projector: the objective's parameters then hold it"


def check_teacher_frozen(arm: Arm) -> Finding:
    """Whether the teacher only answers: evaluation mode, no gradients."""
    network = _teacher(arm)
    training = [name or "the network itself" for name, module in network.named_modules() if module.training]
    learning = [name for name, value in network.named_parameters() if value.requires_grad]
    if not training and not learning:
        return Finding(
            check="teacher in evaluation mode",
            subject=arm.plan.name,
            status="pass",
            text="every module of the teacher is in evaluation mode, and no weight of it asks for a gradient",
        )
    faults = [f"{len(training)} modules are in training mode, such as '{training[0]}'"] if training else []
    faults += [f"{len(learning)} weights ask for a gradient, such as '{learning[0]}'"] if learning else []
    return Finding(
        check="teacher in evaluation mode",
        subject=arm.plan.name,
        status="fail",
        text=f"the teacher is not frozen: {'; '.join(faults)}",
        remedy="call teacher.eval().requires_grad_(False) and see that nothing calls train() on it or on a module that "
        "holds it: batch-norm and dropout make its answers depend on the batch",
        figures={"training": len(training), "learning": len(learning)},
    )


def check_teacher_unchanged(bench: Bench, before: Mapping[str, Tensor]) -> Finding:
    """Whether a step left the teacher's weights and statistics as they were `before`, and its answers with them."""
    arm = bench.arm
    moved = changed(dict(before), _teacher(arm))
    answers = _same_answers(bench)
    if not moved and answers:
        return Finding(
            check="teacher unchanged by a step",
            subject=arm.plan.name,
            status="pass",
            text="weights and statistics of the teacher are bit for bit as before, and it repeats its answers",
        )
    text = f"a step changed {len(moved)} tensors of the teacher, such as '{moved[0]}'" if moved else ""
    return Finding(
        check="teacher unchanged by a step",
        subject=arm.plan.name,
        status="fail",
        text=text or "the teacher gives another answer to the same batch",
        remedy="put the teacher into evaluation mode and keep its parameters out of the optimiser",
        figures={"changed": moved[:10]},
    )


def check_taps(bench: Bench, outputs: StepOutputs) -> Finding | None:
    """Shapes of what either network is tapped for; a tap that says the same of every image is a fault. None: no taps"""
    mine, theirs = outputs.student.taps, {} if outputs.teacher is None else outputs.teacher.taps
    if not mine and not theirs:
        return None
    shapes = {
        f"{who}.{path}": list(feature.shape) for who, taps in _sides(mine, theirs) for path, feature in taps.items()
    }
    dead = [
        f"{who}.{path}"
        for who, taps in _sides(mine, theirs)
        for path, feature in taps.items()
        if _says_nothing(feature)
    ]
    listed = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    return Finding(
        check="taps",
        subject=bench.arm.plan.name,
        status="fail" if dead else "pass",
        text=f"constant or not finite: {', '.join(dead)}; all taps: {listed}" if dead else listed,
        remedy="tap another module: the features at this one do not depend on the image" if dead else "",
        figures=shapes,
    )


def check_gradients(bench: Bench, losses: Mapping[str, Tensor]) -> list[Finding]:
    """The size of each weighted loss term and of its gradient with respect to the student.

    Args:
        bench: the arm.
        losses: scalars by term, unweighted, with their graph.
    """
    student = [value for value in bench.arm.network.parameters() if value.requires_grad]
    sizes = {
        term.name: (
            float(losses[term.name].detach()) * term.weight,
            _norm(losses[term.name] * term.weight, student, bench.training.runtime),
        )
        for term in bench.training.objective.terms
    }
    return [_scale(bench.arm.plan.name, name, sizes) for name in sizes]


def check_left_out(bench: Bench, losses: Mapping[str, Tensor]) -> list[Finding]:
    """Whether all that the losses have a gradient for is in the optimiser; a finding for each term of which it is not.

    Autograd's graph tells: a projector that a function holds is no module's parameter, and no list of them names it.
    """
    held = _held(bench)
    found = []
    for term, loss in losses.items():
        left_out = [value for value in leaves(loss) if id(value) not in held]
        if left_out:
            shapes = ", ".join("x".join(map(str, value.shape)) for value in left_out[:3])
            found.append(
                Finding(
                    check=TRAINED,
                    subject=bench.arm.plan.name,
                    status="fail",
                    text=f"loss term '{term}' has a gradient for {len(left_out)} tensors that are not in the optimiser "
                    f"(of shapes {shapes}): they stay as they were made",
                    remedy=OWN_IT,
                    figures={"term": term, "left_out": len(left_out)},
                )
            )
    return found


def leaves(loss: Tensor) -> list[Tensor]:
    """The tensors that `loss` has a gradient for, each once."""
    found: dict[int, Tensor] = {}
    seen: set[Any] = set()
    left: list[Any] = [loss.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        left += [following for following, _place in node.next_functions]
    return list(found.values())


def check_projectors(bench: Bench) -> list[Finding]:
    """What the loss terms train beside the student: in the optimiser, and moved by a step. Takes the step."""
    training, name = bench.training, bench.arm.plan.name
    held = _held(bench)
    owned = {
        term: {key: value for key, value in module.named_parameters() if value.requires_grad}
        for term, module in training.objective.owned.items()
    }
    watched = {"the network": dict(_trained(bench.arm.network)), **{f"'{key}'": value for key, value in owned.items()}}
    before = {who: {key: value.detach().clone() for key, value in of.items()} for who, of in watched.items()}
    middle = bench.arm.recipe.epochs * training.steps_per_epoch // 2
    for _ in range(TRIES):
        bench.step(middle)
        if all(_moved(before[who], of) for who, of in watched.items() if of):
            break
    found = []
    for who, of in watched.items():
        if of:
            left_out = [key for key, value in of.items() if id(value) not in held]
            still = len(of) - len(_moved(before[who], of))
            found.append(_movement(name, who, len(of), left_out, still))
    return found


def _movement(arm: str, who: str, count: int, left_out: list[str], still: int) -> Finding:
    whose = who if who == "the network" else f"what loss term {who} trains"
    figures = {"tensors": count, "left_out": left_out[:10], "unmoved": still}
    if left_out:
        return Finding(
            check=TRAINED,
            subject=arm,
            status="fail",
            text=f"of {whose}, {len(left_out)} of {count} tensors are not in the optimiser, such as '{left_out[0]}'",
            remedy=OWN_IT,
            figures=figures,
        )
    if still == count:
        return Finding(
            check=TRAINED,
            subject=arm,
            status="fail",
            text=f"a step moved nothing of {whose} ({count} tensors)",
            remedy="see that its gradient is not cut (detach, no_grad) and that the learning rate is above 0",
            figures=figures,
        )
    text = f"a step moved {count - still} of {count} tensors of {whose}; all are in the optimiser"
    return Finding(check=TRAINED, subject=arm, status="pass", text=text, figures=figures)


def _held(bench: Bench) -> set[int]:
    """Identities of what the optimiser holds."""
    return {id(value) for group in bench.training.optimizer.param_groups for value in group["params"]}


def _scale(arm: str, name: str, sizes: Mapping[str, tuple[float, float]]) -> Finding:
    loss, gradient = sizes[name]
    others = sum(size for other, (_loss, size) in sizes.items() if other != name)
    figures = {"term": name, "weighted_loss": loss, "gradient_norm": gradient, "others": others}
    text = f"'{name}': weighted loss {loss:.3g}, its gradient's norm {gradient:.3g}"
    check = "scale of loss terms"
    if not math.isfinite(loss) or not math.isfinite(gradient):
        remedy = "try --precision fp32, and look for a logarithm or a division of what may be 0 in the term"
        return Finding(check=check, subject=arm, status="fail", text=text, remedy=remedy, figures={"term": name})
    if gradient == 0.0:
        return Finding(
            check=check,
            subject=arm,
            status="fail",
            text=f"{text}: it teaches the student nothing",
            remedy="see that the term reads the student's outputs and does not detach them, or give it weight 0",
            figures=figures,
        )
    more = gradient > others
    # Of two terms it is enough to name the larger.
    if others and not 1 / OUT_OF_SCALE <= gradient / others <= OUT_OF_SCALE and (more or len(sizes) > 2):
        return Finding(
            check=check,
            subject=arm,
            status="warn",
            text=f"{text}, {gradient / others:.2g} times that of all other terms together",
            remedy=f"{'lower' if more else 'raise'} the weight of '{name}': as it is, "
            f"{'nothing else' if more else 'nothing of it'} is learned at first",
            figures=figures,
        )
    return Finding(check=check, subject=arm, status="pass", text=text, figures=figures)


def _norm(loss: Tensor, student: list[nn.Parameter], runtime: Runtime) -> float:
    """The norm of the loss's gradient with respect to `student`; 0 where it does not depend on it."""
    if not loss.requires_grad:
        return 0.0
    known = [gradient.float() for gradient in gradients(loss, student, runtime) if gradient is not None]
    return float(nn.utils.get_total_norm(known)) if known else 0.0


def _teacher(arm: Arm) -> nn.Module:
    if arm.teacher is None:
        raise ValueError(f"arm {arm.plan.name} has no teacher to look at")
    return arm.teacher.network


def _same_answers(bench: Bench) -> bool:
    """Whether the teacher's answer to the batch is close to the one it gave before the step."""
    teacher, before = bench.arm.teacher, bench.taught
    if teacher is None or before is None:
        return True
    return torch.allclose(_flat(teacher(bench.batch)), _flat(before), rtol=1e-3, atol=1e-3)


def _flat(prediction: Prediction) -> Tensor:
    return torch.cat([value.float().flatten() for value in (prediction.output, *prediction.taps.values())])


def _says_nothing(feature: Tensor) -> bool:
    values = feature.detach().float()
    return not bool(values.isfinite().all()) or (len(values) > 1 and bool((values == values[:1]).all()))


def _sides(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> tuple[tuple[str, Mapping[str, Tensor]], ...]:
    return ("student", mine), ("teacher", theirs)


def _trained(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, value) for name, value in network.named_parameters() if value.requires_grad]


def _moved(before: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> list[str]:
    return [name for name, value in now.items() if not torch.equal(before[name], value)]


def teacher_state(arm: Arm) -> dict[str, Tensor]:
    """A copy of the teacher's weights and statistics."""
    return snapshot(_teacher(arm))
