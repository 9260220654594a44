"""Each planted fault is caught, with a remedy, by the check that is meant for it; a sound run passes every check."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densedistill.datasets.base import TaskData
from densedistill.distill.doctor.chain import DoctorChain
from densedistill.distill.doctor.examination import check_arm, check_teachers, examine
from densedistill.distill.doctor.finding import Finding
from densedistill.distill.doctor.limits import Limits
from densedistill.distill.lessons.training import ArmTraining
from densedistill.distill.losses import kd_loss
from densedistill.distill.metrics.accuracy import Accuracy
from densedistill.distill.objective import LossTerm
from densedistill.distill.outputs import StepOutputs
from densedistill.distill.spec import MetricSpec, TaskSpec
from densedistill.distill.teacher import Teacher
from densedistill.distill.tensors import load_tensors, save_tensors
from densedistill.tasks import get

Patients = Callable[..., DoctorChain]
Trained = tuple[Path, TaskData]
Taught = Callable[[StepOutputs], Tensor]
WithTerms = Callable[[TaskSpec, Taught], TaskSpec]


def student(chain: DoctorChain) -> list[Finding]:
    """The checks of the student's steps."""
    return check_arm(chain, next(plan for plan in chain.plans if plan.role == "student"))


def failed(findings: Sequence[Finding]) -> list[str]:
    assert all(finding.remedy for finding in findings if finding.status == "fail")
    return sorted({finding.check for finding in findings if finding.status == "fail"})


def of(findings: Sequence[Finding], check: str) -> Finding:
    return next(finding for finding in findings if finding.check == check)


# -- sound runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "method"), [("cls", "kd"), ("cls", "fitnet"), ("cls", "dkd"), ("edges", None), ("sr", None)]
)
def test_a_sound_run_passes(tiny: ModuleType, patient: Patients, tmp_path: Path, kind: str, method: str | None) -> None:
    diagnosis = examine(patient(tiny.tiny_spec(kind), tmp_path, {"controls": []}, method=method))
    assert diagnosis.status == "pass"
    seen = {finding.check for finding in diagnosis.findings}
    wanted = {"scale of loss terms", "trained by the optimiser", "teacher in evaluation mode", "student alone reloads"}
    assert wanted | {"alpha 0 is plain training", "duplicates", "time planned", "memory planned"} <= seen
    assert ("KL direction" in seen) == (method in ("kd", "dkd"))
    assert list(tmp_path.iterdir()) == []
    json.dumps(diagnosis.plain(), allow_nan=False)


def test_a_sound_teacher_passes(tiny: ModuleType, patient: Patients, trained: Trained) -> None:
    folder, data = trained
    findings = check_teachers(patient(tiny.tiny_spec("cls"), folder, data=data), Limits())
    assert [finding.status for finding in findings] == ["pass"] * 3
    assert {finding.check for finding in findings} == {"teacher's figure", "normalisation", "label order"}


def test_the_students_data_are_as_sound(tiny: ModuleType, patient: Patients, trained: Trained) -> None:
    folder, data = trained
    diagnosis = examine(patient(tiny.tiny_spec("cls"), folder, data=data))
    assert diagnosis.of("fail") == ()
    assert "gen_01" not in {finding.subject for finding in diagnosis.findings if finding.check == "memory planned"}


# -- the teacher ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Renormalised:
    """A set whose inputs are normalised, unlike those that the teacher was trained with."""

    inner: Any
    mean: float
    std: float

    @property
    def ids(self) -> Any:
        """As they are."""
        return self.inner.ids

    def __len__(self) -> int:
        return len(self.inner)

    def batches(self, *given: Any, **named: Any) -> Any:
        """Batches with other inputs."""
        for batch in self.inner.batches(*given, **named):
            yield batch | {"input": (batch["input"] - self.mean) / self.std}


def test_a_wrong_normalisation(tiny: ModuleType, patient: Patients, run: Trained) -> None:
    folder, data = run
    mean, std = (0.5,) * 3, (0.5,) * 3
    wrong = dataclasses.replace(
        data,
        train=Renormalised(data.train, 0.5, 0.5),
        val=Renormalised(data.val, 0.5, 0.5),
        input_mean=mean,
        input_std=std,
    )
    findings = check_teachers(patient(tiny.tiny_spec("cls"), folder, data=wrong), Limits())
    assert "normalisation" in failed(findings)
    assert "label order" not in failed(findings)
    found = of(findings, "normalisation")
    assert "none (pixels from 0 to 1)" in found.remedy
    reached = found.figures["others"]
    assert max(reached, key=lambda name: reached[name]) == "none (pixels from 0 to 1)"


def test_permuted_labels(tiny: ModuleType, patient: Patients, run: Trained) -> None:
    folder, data = run
    weights = load_tensors(folder / "gen_01/model.safetensors")
    order = torch.tensor([2, 3, 1, 0])
    for key in ("head.2.weight", "head.2.bias"):
        weights[key] = weights[key][order]
    save_tensors(folder / "gen_01/model.safetensors", weights)
    findings = check_teachers(patient(tiny.tiny_spec("cls"), folder, data=data), Limits())
    assert "label order" in failed(findings)
    assert "normalisation" not in failed(findings)
    found = of(findings, "label order")
    # The teacher's output number i answers for the data's class order[i].
    assert found.figures["order"] == order.tolist()
    assert "'light'" in found.text


def test_a_teacher_worse_than_its_student(tiny: ModuleType, patient: Patients, run: Trained) -> None:
    folder, data = run
    record = json.loads((folder / "gen_01/arm.json").read_text())
    scratch = folder / "gen_02_scratch"
    scratch.mkdir()
    verdicts = {}
    for figure in (record["val"] - 10, record["val"] + 10):
        (scratch / "arm.json").write_text(json.dumps(record | {"arm": "gen_02_scratch", "val": figure}))
        findings = check_teachers(patient(tiny.tiny_spec("cls"), folder, data=data), Limits())
        verdicts[figure - record["val"]] = of(findings, "teacher beside its student").status
    assert verdicts == {-10: "pass", 10: "fail"}


def test_a_teacher_that_knows_nothing(tiny: ModuleType, patient: Patients, run: Trained) -> None:
    folder, data = run
    weights = load_tensors(folder / "gen_01/model.safetensors")
    weights["head.2.weight"].zero_()
    save_tensors(folder / "gen_01/model.safetensors", weights)
    assert "teacher's figure" in failed(check_teachers(patient(tiny.tiny_spec("cls"), folder, data=data), Limits()))


class _Errors(Accuracy):
    """The share of images that are wrong, in 0..1: less is better."""

    name = "error"
    unit = ""
    higher_is_better = False

    def compute(self) -> dict[str, float]:
        return {"error": 1 - super().compute()["accuracy"] / 100}

    def per_image(self) -> list[dict[str, float]]:
        return [{"error": 1 - row["accuracy"] / 100} for row in super().per_image()]


class _Share(Accuracy):
    """The share of images that are right, in 0..1."""

    name = "share"
    unit = ""

    def compute(self) -> dict[str, float]:
        return {"share": super().compute()["accuracy"] / 100}


@pytest.mark.parametrize(("made", "chance"), [(_Share, 0.25), (_Errors, 0.75)])
def test_chance_is_judged_by_the_task_s_own_metric(
    tiny: ModuleType, patient: Patients, trained: Trained, made: type[_Share | _Errors], chance: float
) -> None:
    folder, data = trained
    metric = MetricSpec(
        name=made.name,
        unit=made.unit,
        higher_is_better=made.higher_is_better,
        make=lambda _options, of: made(len(of.classes)),
    )
    spec = dataclasses.replace(tiny.tiny_spec("cls"), metric=metric)
    figure = of(check_teachers(patient(spec, folder, data=data), Limits()), "teacher's figure")
    assert figure.status == "pass"
    assert figure.figures["chance"]["always the most frequent class"] == pytest.approx(chance, abs=0.1)


def test_a_teacher_in_training_mode(
    tiny: ModuleType, patient: Patients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = Teacher.__init__

    def careless(teacher: Teacher, *given: Any) -> None:
        init(teacher, *given)
        teacher.network.train()

    monkeypatch.setattr(Teacher, "__init__", careless)
    findings = student(patient(tiny.tiny_spec("cls"), tmp_path))
    assert {"teacher in evaluation mode", "teacher unchanged by a step"} <= set(failed(findings))
    assert "training mode" in of(findings, "teacher in evaluation mode").text


def test_a_teacher_that_learns(
    tiny: ModuleType, patient: Patients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ArmTraining.take_step

    def leaky(training: ArmTraining, *given: Any) -> Any:
        assert training.arm.teacher is None or training.arm.teacher.network.head[2].weight.mul_(1.01) is not None
        return step(training, *given)

    monkeypatch.setattr(ArmTraining, "take_step", leaky)
    assert failed(student(patient(tiny.tiny_spec("cls"), tmp_path))) == ["teacher unchanged by a step"]


# -- the losses -----------------------------------------------------------------------------------------------------


def test_a_projector_that_no_module_owns(
    tiny: ModuleType, with_terms: WithTerms, patient: Patients, tmp_path: Path
) -> None:
    projector = nn.Linear(4, 4)

    def projected(outputs: StepOutputs) -> Tensor:
        return (projector(outputs.student.output) - outputs.taught().output).square().mean()

    spec = with_terms(tiny.tiny_spec("cls"), projected)
    findings = student(patient(spec, tmp_path))
    assert failed(findings) == ["trained by the optimiser"]
    assert "2 tensors that are not in the optimiser" in next(f.text for f in findings if f.status == "fail")


def test_a_projector_left_out_of_the_optimiser(
    tiny: ModuleType, patient: Patients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from densedistill.distill.lessons import training

    make = training.make_optimizer

    def forgetful(recipe: Any, parameters: Any, **named: Any) -> Any:
        return make(recipe, list(parameters)[:10], **named)

    monkeypatch.setattr(training, "make_optimizer", forgetful)
    findings = student(patient(tiny.tiny_spec("cls"), tmp_path, method="fitnet"))
    assert failed(findings) == ["trained by the optimiser"]
    assert any("of what loss term 'fitnet' trains" in finding.text for finding in findings if finding.status == "fail")


def test_a_swapped_divergence(
    tiny: ModuleType, swapped: Taught, with_terms: WithTerms, patient: Patients, tmp_path: Path
) -> None:
    spec = with_terms(tiny.tiny_spec("cls"), swapped)
    findings = student(patient(spec, tmp_path))
    assert failed(findings) == ["KL direction"]
    assert of(findings, "KL direction").figures["direction"] == "student to teacher"


def test_a_term_that_teaches_nothing(
    tiny: ModuleType, with_terms: WithTerms, patient: Patients, tmp_path: Path
) -> None:
    def detached(outputs: StepOutputs) -> Tensor:
        return kd_loss(outputs.student.output.detach(), outputs.taught().output, 4.0)

    spec = with_terms(tiny.tiny_spec("cls"), detached)
    findings = student(patient(spec, tmp_path))
    assert failed(findings) == ["scale of loss terms"]


def test_a_term_out_of_scale(tiny: ModuleType, patient: Patients, tmp_path: Path) -> None:
    findings = student(patient(tiny.tiny_spec("cls"), tmp_path, {"method.weight": 1e6}, method="fitnet"))
    (warned,) = [finding for finding in findings if finding.status == "warn"]
    assert warned.check == "scale of loss terms"
    assert "'fitnet'" in warned.text
    assert "lower the weight" in warned.remedy


def test_a_teacher_that_is_still_heard_at_alpha_0(tiny: ModuleType, patient: Patients, tmp_path: Path) -> None:
    spec = tiny.tiny_spec("cls")
    method = spec.methods["kd"]

    def taught(parameters: Any, context: Any) -> Sequence[LossTerm]:
        # The fault: the weight does not follow alpha.
        return [dataclasses.replace(term, weight=0.9) for term in method.taught(parameters, context)]

    faulty = dataclasses.replace(spec, methods={**spec.methods, "kd": dataclasses.replace(method, taught=taught)})
    chain = patient(faulty, tmp_path)
    plan = next(plan for plan in chain.plans if plan.role == "student")
    arm = chain.with_alpha_zero().assemble(plan, chain.teacher("gen_01")).arm
    assert [term.weight for term in arm.terms if not term.needs_teacher] == [1.0]
    assert failed(student(chain)) == ["alpha 0 is plain training"]


# -- the student ----------------------------------------------------------------------------------------------------


class Forgetful(nn.Module):
    """A network with something random that its weights do not hold."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.shift = inner, torch.rand(1)

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.inner(images) + self.shift
        return answer


def test_a_student_that_its_weights_do_not_hold(
    tiny: ModuleType, patient: Patients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = tiny.TinyNetworks.build

    def building(networks: Any, *given: Any, **named: Any) -> Any:
        built = build(networks, *given, **named)
        return dataclasses.replace(built, module=Forgetful(built.module))

    monkeypatch.setattr(tiny.TinyNetworks, "build", building)
    assert "student alone reloads" in failed(student(patient(tiny.tiny_spec("cls"), tmp_path)))


@pytest.mark.parametrize(("judged", "status"), [(False, "fail"), (True, "warn")])
def test_a_teacher_that_is_judged_by_another_figure_stops_no_run(
    tiny: ModuleType, patient: Patients, tmp_path: Path, judged: bool, status: str
) -> None:
    """An edge detector whose maps stay below the level at which Dice is taken, though edges are the highest in them."""
    spec = tiny.tiny_spec("edges")
    faint = tmp_path / "faint.pt"
    network = tiny.TinyNet("edges", width=8)
    nn.init.constant_(network.head.bias, -50.0)
    torch.save(network.state_dict(), faint)
    if judged:
        spec = dataclasses.replace(spec, benchmark=get("edges").benchmark)
    findings = check_teachers(patient(spec, tmp_path / "run", {"teacher_weights": str(faint)}), Limits())
    figure = of(findings, "teacher's figure")
    assert figure.status == status
    assert ("benchmark" in figure.remedy) == judged
    assert (failed(findings) == []) == judged
