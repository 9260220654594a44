"""The built-in studies: all can be worked out, none hides a difference, the demos are short."""

from __future__ import annotations

from pathlib import Path

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.study.definition import read_study
from densedistill.distill.study.fairness import warnings_of
from densedistill.tasks.studies import built_in
from densedistill.tasks.studies.registry import studies
from densedistill.tasks.study import prepared

ALL = [(name, size) for name, sizes in studies().items() for size in sizes]
COMMITTED = sorted((Path(__file__).parents[2] / "docs" / "results").glob("*/study.yaml"))
MOST_ARMS = 24


@pytest.mark.parametrize(("name", "size"), ALL)
def test_it_can_be_worked_out(name: str, size: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DENSEDISTILL_DATA", str(tmp_path))
    definition = built_in(name, size)
    plan = prepared(definition)
    assert (definition.name, definition.size) == (name, size)
    if definition.task != "seg":
        # The references have no segmentation, and so no claim about it.
        assert definition.claim is not None
        assert definition.claim.source.startswith("reference 00")
        assert plan.expects, "the report is to say what came of the claim"
    unnamed = [text for text in warnings_of(plan) if "one seed" not in text]
    assert unnamed == []
    taught = {arm.name for arm in plan.arms if arm.taught}
    assert taught == {arm for arm, _seed in plan.taught_by}
    compared = {arm.against for arm in plan.arms} - {None}
    assert compared <= {arm.name for arm in plan.arms}


@pytest.mark.parametrize("file", COMMITTED, ids=[file.parent.name for file in COMMITTED])
def test_those_of_the_results_can_be_repeated(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DENSEDISTILL_DATA", str(tmp_path))
    plan = prepared(read_study(file))
    assert plan.study.name == file.parent.name
    assert [text for text in warnings_of(plan) if "one seed" not in text] == []


@pytest.mark.parametrize("name", list(studies()))
def test_demos_need_no_data_and_are_short(name: str) -> None:
    plan = prepared(built_in(name, "demo"))
    assert len(plan.arms) <= MOST_ARMS
    for resolved in plan.configs.values():
        assert resolved.config.data["name"] in ("photo-crops", "photos", "collage")
        assert resolved.config.recipe.epochs <= 8


def test_each_has_a_demo_and_the_papers_size() -> None:
    assert all(set(sizes) == {"demo", "paper"} for sizes in studies().values())


def test_cross_resolution_teachers_differ_in_their_input_alone() -> None:
    plan = prepared(built_in("cross-resolution", "demo"))
    seen = []
    for teacher in plan.teachers.values():
        settings = dict(teacher.settings.settings)
        seen.append((settings.pop("data.teacher_size"), settings))
    assert sorted(side for side, _rest in seen) == [16, 32, 64]
    assert all(rest == seen[0][1] for _side, rest in seen)


def test_cross_resolution_teachers_see_no_detail_that_the_student_lacks() -> None:
    for resolved in prepared(built_in("cross-resolution", "demo")).configs.values():
        assert (resolved.config.data["input_size"], resolved.config.data["detail"]) == (16, 16)


@pytest.mark.parametrize("name", ["dkd", "nckd-mixup", "cross-resolution", "enhancements"])
def test_no_arm_of_the_papers_size_is_stopped_unless_the_study_asks_it(name: str) -> None:
    plan = prepared(built_in(name, "paper"))
    stopped = {arm for arm, resolved in plan.configs.items() if resolved.config.recipe.early_stopping is not None}
    assert stopped == {arm.name for arm in plan.arms if arm.name.endswith("-stopped")}


@pytest.mark.parametrize(
    ("name", "contrast", "of", "minus"),
    [
        ("dkd", "augmentation", ("strong-dkd-8", "strong-kd"), ("weak-dkd-8", "weak-kd")),
        ("nckd-mixup", "cost-8", ("mixup-dkd-8", "plain-dkd-8"), ("mixup-kd", "plain-kd")),
        (
            "capacity",
            "features-26-14-over-14-10",
            ("small-26-14-features", "small-26-14-scratch"),
            ("small-14-10-features", "small-26-10-scratch"),
        ),
    ],
)
def test_a_claim_of_two_factors_is_put_to_a_contrast(
    name: str, contrast: str, of: tuple[str, str], minus: tuple[str, str]
) -> None:
    plan = prepared(built_in(name, "demo"))
    [found] = [one for one in plan.contrasts if one.name == contrast]
    assert (found.of, found.minus) == (of, minus)
    assert contrast in plan.expects


def test_conditions_have_names_for_people() -> None:
    labels = {arm.label for arm in prepared(built_in("capacity", "demo")).arms}
    assert "26-10, Feature-KD (ImageNet stem)" in labels


def test_the_stem_reaches_teachers_and_students_of_capacity() -> None:
    plan = prepared(built_in("capacity", "demo"))
    for arm in plan.arms:
        stems = [network.arguments.get("stem") for network in plan.configs[arm.name].config.networks[:2]]
        assert stems == [arm.condition, arm.condition]
    assert len(plan.teachers) == 4  # two stems, and two pairs share a teacher


def test_one_teacher_serves_both_augmentations_of_dkd() -> None:
    assert len(prepared(built_in("dkd", "demo")).teachers) == 1


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [("capacit", "demo", "Did you mean 'capacity'"), ("capacity", "papr", "Did you mean 'paper'")],
)
def test_unknown_names_are_told_the_nearest(name: str, size: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        built_in(name, size)
