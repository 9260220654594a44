"""Several run folders read as one study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.report.configurations import experiment
from densedistill.distill.report.run_groups import read_runs
from densedistill.distill.report.sheets import to_markdown
from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_settings import settings_sheet


def config(**method: object) -> Mapping[str, Any]:
    return {"method": {"name": "kd", "temperature": 4.0, "alpha": 0.9} | method, "controls": ["scratch"]}


def test_runs_that_differ_in_the_seed_are_trials(fake: ModuleType, tmp_path: Path) -> None:
    runs = [fake.write_pair(tmp_path / str(seed), 71 + seed / 10, 70.0, seed=seed) for seed in range(3)]
    study = read_runs(runs)
    assert [arm.arm for arm in study.arms] == ["gen_01", "gen_02", "gen_02_scratch"]
    assert [arm.role for arm in study.arms] == ["teacher", "method", "control"]
    assert [trial.seed for trial in study.arms[1].trials] == [0, 1, 2]
    assert study.pairs == (("gen_02", "gen_02_scratch"),)
    (judged,) = compute(study).judged
    assert dict(judged.comparison.differences) == pytest.approx({0: 1.0, 1: 1.1, 2: 1.2})


@pytest.mark.parametrize(
    "changes",
    [
        {"doctor": "never"},
        {"track": ["wandb"]},
        {"only": ["gen_02"], "controls": []},
        {"compared_with": "/runs/earlier"},
        {"data": {"download": True, "workers": 4, "memory_budget_mb": 1}},
        {"speed": {"prefetch": 0, "keep_freed_memory": False}},
    ],
)
def test_runs_that_differ_also_in_what_changes_no_figure_are_trials(
    fake: ModuleType, tmp_path: Path, changes: Mapping[str, Any]
) -> None:
    plain = {"data": {"download": False, "workers": 2}, "speed": {"prefetch": 2}, "doctor": "auto", "track": []}
    runs = [
        fake.write_pair(tmp_path / "0", 71.0, 70.0, seed=0, config={**config(), **plain}),
        fake.write_pair(tmp_path / "1", 72.0, 70.0, seed=1, config={**config(), **plain, **changes}),
    ]
    study = read_runs(runs)
    assert [len(arm.trials) for arm in study.arms] == [2, 2, 2]
    assert not study.axes


def test_a_field_is_not_taken_for_another_with_a_longer_name() -> None:
    assert experiment("only: [gen_02]\nonly_x: 1\nmethod: {name: kd}") == {"only_x": 1, "method.name": "kd"}


def test_other_settings_are_other_arms_named_after_them(fake: ModuleType, tmp_path: Path) -> None:
    runs = [
        fake.write_pair(tmp_path / "a", 71.0, 70.0, config=config()),
        fake.write_pair(tmp_path / "b", 72.0, 70.0, config=config(temperature=20.0)),
    ]
    study = read_runs(runs)
    labels = [arm.label for arm in study.arms if arm.role == "method"]
    assert labels == ["student (distilled), T 4", "student (distilled), T 20"]
    assert study.axes == {"method.temperature": (4.0, 20.0)}
    assert {(arm.partition("/")[0], control.partition("/")[0]) for arm, control in study.pairs} == {
        ("T 4", "T 4"),
        ("T 20", "T 20"),
    }


def test_a_run_whose_views_are_kept_is_another_experiment(fake: ModuleType, tmp_path: Path) -> None:
    """It sees as many views of each image as it keeps answers to, again and again, and so does its control."""
    runs = [
        fake.write_pair(tmp_path / "a", 71.0, 70.0, config=config() | {"teacher_cache": None}),
        fake.write_pair(tmp_path / "b", 69.0, 68.0, seed=1, config=config() | {"teacher_cache": 2}),
    ]
    study = read_runs(runs)
    assert sorted(len(arm.trials) for arm in study.arms if arm.role != "teacher") == [1, 1, 1, 1]
    assert study.axes == {} or "teacher_cache" in study.axes


def test_a_scratch_arm_is_borrowed_where_the_student_s_training_is_the_same(fake: ModuleType, tmp_path: Path) -> None:
    lone = [fake.arm_record("gen_02", 72.0, teacher="gen_01")]
    with_control = fake.write_pair(tmp_path / "a", 71.0, 70.0, config=config())
    same = fake.write_run(tmp_path / "b", lone, config=config(temperature=20.0) | {"controls": []})
    longer = fake.write_run(tmp_path / "c", lone, config=config(alpha=0.5) | {"recipe": {"epochs": 9}})
    pairs = dict(read_runs([with_control, same, longer]).pairs)
    assert len(pairs) == 2
    assert sum("T 20" in arm for arm in pairs) == 1
    assert len(set(pairs.values())) == 1


def test_a_chain_is_compared_with_the_direct_student(fake: ModuleType, tmp_path: Path) -> None:
    records = [
        fake.arm_record("gen_01", 80.0, params=9_000_000),
        fake.arm_record("gen_02", 74.0, teacher="gen_01", params=3_000_000),
        fake.arm_record("gen_03", 71.0, teacher="gen_02"),
        fake.arm_record("gen_03_scratch", 69.0),
        fake.arm_record("gen_03_direct", 70.0, teacher="gen_01"),
    ]
    study = read_runs([fake.write_run(tmp_path / "chain", records)])
    assert study.pairs == (
        ("gen_03", "gen_03_scratch"),
        ("gen_03", "gen_03_direct"),
        ("gen_03_direct", "gen_03_scratch"),
    )
    numbers = compute(study)
    retained = numbers.of("gen_03").retention
    assert retained is not None
    assert retained.mean == pytest.approx(71 / 74)
    assert numbers.of("gen_03").gap_closed == pytest.approx((71 - 69) / (74 - 69))


def test_what_cannot_stand_side_by_side_is_refused(fake: ModuleType, tmp_path: Path) -> None:
    first = fake.write_pair(tmp_path / "a", 71.0, 70.0)
    again = fake.write_pair(tmp_path / "b", 71.5, 70.0)
    other = fake.write_pair(tmp_path / "c", 71.5, 70.0, seed=1, task="edges")
    with pytest.raises(RequestError, match="the same arms of one configuration and seed 0"):
        read_runs([first, again])
    with pytest.raises(RequestError, match="named twice"):
        read_runs([first, first])
    with pytest.raises(RequestError, match="one task and metric"):
        read_runs([first, other])
    with pytest.raises(RequestError, match="no run is named"):
        read_runs([])


def test_other_data_and_machines_are_warned_of(fake: ModuleType, tmp_path: Path) -> None:
    first = fake.write_pair(tmp_path / "a", 71.0, 70.0)
    other = fake.write_pair(
        tmp_path / "b",
        71.5,
        70.0,
        seed=1,
        data=fake.DATA | {"fingerprint": "sha256:other"},
        environment={"device": "cuda", "precision": "bf16"},
    )
    told = " ".join(read_runs([first, other]).warnings)
    assert "fingerprints differ" in told
    assert "device: cpu, cuda" in told
    assert "precision" not in told


def test_runs_may_share_the_arms_of_a_seed_among_them(fake: ModuleType, tmp_path: Path) -> None:
    runs = []
    for seed in range(2):
        student = fake.arm_record("gen_02", 72.0 + seed, teacher="gen_01")
        scratch = fake.arm_record("gen_02_scratch", 70.0)
        runs.append(fake.write_run(tmp_path / f"kd-{seed}", [student], seed=seed, config={"only": ["gen_02"]}))
        runs.append(fake.write_run(tmp_path / f"s-{seed}", [scratch], seed=seed, config={"only": ["gen_02_scratch"]}))
    study = read_runs(runs)
    assert [(arm.arm, len(arm.trials)) for arm in study.arms] == [("gen_02", 2), ("gen_02_scratch", 2)]
    (judged,) = compute(study).judged
    assert dict(judged.comparison.differences) == {0: 2.0, 1: 3.0}


def test_files_are_named_without_their_folders(fake: ModuleType, tmp_path: Path) -> None:
    config = {
        "teacher_weights": str(tmp_path / "weights" / "big.pth"),
        "teacher_run": str(tmp_path / "teachers" / "t1"),
    }
    runs = [fake.write_pair(tmp_path / "a", 71.0, 70.0, config=config), fake.write_pair(tmp_path / "b", 72.0, 70.0)]
    study = read_runs(runs)
    sheet = settings_sheet(study)
    assert sheet is not None
    told = to_markdown(sheet)
    assert "big.pth" in told
    assert str(tmp_path) not in told
    assert "teacher_run" not in told


def test_runs_of_one_folder_name_are_told_apart(fake: ModuleType, tmp_path: Path) -> None:
    """As the runs of a study are, where more fields differ than a name could hold."""
    config = {f"field_{place}": 1 for place in range(6)}
    runs = [
        fake.write_pair(tmp_path / "kd" / "seed-0", 70.0, 65.0),
        fake.write_pair(tmp_path / "dkd" / "seed-0", 60.0, 65.0, config=config),
    ]
    found = {one.arm.label: one.comparison.mean for one in compute(read_runs(runs)).judged}
    assert found == {"student (distilled), kd/seed-0": 5.0, "student (distilled), dkd/seed-0": -5.0}


def test_weights_of_one_file_name_are_not_one_configuration(fake: ModuleType, tmp_path: Path) -> None:
    runs = []
    for seed, size in enumerate(("big", "small")):
        config = {"teacher_weights": str(tmp_path / size / "gen_01" / "model.safetensors")}
        runs.append(fake.write_pair(tmp_path / f"{size}-run", 70.0 + seed, 65.0, seed=seed, config=config))
    study = read_runs(runs)
    assert sorted(arm.label for arm in study.arms if arm.role == "method") == [
        "student (distilled), teacher weights model.safetensors (big-run)",
        "student (distilled), teacher weights model.safetensors (small-run)",
    ]
