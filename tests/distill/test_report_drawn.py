"""What the figures of a study draw: the data behind them, and when they are left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from densedistill.distill.report.drawing import add_legend, as_svg, role_strokes
from densedistill.distill.report.mechanism import mechanism_chart
from densedistill.distill.report.page import draw
from densedistill.distill.report.reading import read_run
from densedistill.distill.report.run_groups import read_runs
from densedistill.distill.report.study_classes import class_changes, class_charts
from densedistill.distill.report.study_curves import courses, curve_charts, legend_over, panels_of, task_term
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_grids import grid_charts
from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_outcomes import outcome_charts


@pytest.fixture
def pairs(fake: ModuleType, tmp_path: Path) -> StudyFacts:
    return read_runs([fake.write_pair(tmp_path / str(seed), 71.0 + seed, 70.0, seed=seed) for seed in range(2)])


def looks(study: StudyFacts) -> dict[str, object]:
    return dict(role_strokes({arm.arm: arm.role for arm in study.arms}))


def test_curves_hold_every_seed(pairs: StudyFacts) -> None:
    course = courses(pairs.named("gen_02"), lambda line: line.val.get("accuracy"))
    assert list(course) == list(range(1, 13))
    assert course[12] == pytest.approx([72 * (1 - 0.9 * 0.75**12), 73 * (1 - 0.9 * 0.75**12)])


def test_the_task_s_term_is_found_where_one_term_is_all(pairs: StudyFacts) -> None:
    assert task_term(pairs) == ("ce", 1.0)


def test_the_gap_of_a_distilled_arm_is_without_the_teacher_s_term(pairs: StudyFacts) -> None:
    gap = next(one for one in curve_charts(pairs, looks(pairs)) if one.name == "generalisation-gap")
    assert "student (distilled) +0.29" in gap.alternative
    assert "student (scratch) +0.29" in gap.alternative


def under(study: StudyFacts, conditions: tuple[str, ...]) -> StudyFacts:
    """The study's arms under each condition."""
    arms = [
        dataclasses.replace(arm, arm=f"{condition}-{arm.arm}", label=f"{arm.label} ({condition})", condition=condition)
        for condition in conditions
        for arm in study.arms
        if arm.role != "teacher"
    ]
    return dataclasses.replace(study, arms=tuple(arms))


def test_each_condition_has_a_frame_in_which_an_arm_looks_the_same(pairs: StudyFacts) -> None:
    study = under(pairs, ("weak", "strong"))
    panels = panels_of(study, role_strokes({arm.arm: arm.role for arm in study.arms}), [arm.arm for arm in study.arms])
    weak, strong = panels
    assert (weak.title, strong.title) == ("weak", "strong")
    assert list(strong.looks) == [name.replace("weak-", "strong-") for name in weak.looks]
    assert list(strong.looks.values()) == list(weak.looks.values())
    assert [label for label, _ in legend_over(study, panels)] == ["student (distilled)", "student (scratch)"]
    drawn = next(one for one in curve_charts(study, looks(study)) if one.name == "curve-metric")
    assert "student (scratch) (strong) ends at" in drawn.alternative


def test_without_conditions_or_with_many_there_is_one_frame(pairs: StudyFacts) -> None:
    for study in (pairs, under(pairs, ("a", "b", "c", "d"))):
        names = [arm.arm for arm in study.arms]
        (panel,) = panels_of(study, role_strokes(dict.fromkeys(names, "method")), names)
        assert list(panel.looks) == names


def test_short_trainings_have_no_zoom(fake: ModuleType, tmp_path: Path) -> None:
    study = read_runs([fake.write_pair(tmp_path / "a", 71.0, 70.0, epochs=4)])
    assert "curve-last-epochs" not in {one.name for one in curve_charts(study, looks(study))}


def test_every_loss_term_has_its_curve_with_ticks_to_read_a_log_axis_by(pairs: StudyFacts) -> None:
    drawn = {one.name: one for one in curve_charts(pairs, looks(pairs))}
    assert "student (scratch) ends at" in drawn["curve-term-ce"].alternative
    assert "scratch" not in drawn["curve-term-kd"].alternative
    (axes,) = drawn["curve-term-kd"].figure.axes
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert axes.get_yscale() == "log"
    assert len(ticks) >= 4


def test_one_run_is_drawn_as_a_study_is(fake: ModuleType, tmp_path: Path) -> None:
    stopped = fake.arm_record("gen_02", 71.0, teacher="gen_01", notes=["early stopping: no gain for 3 epochs"])
    records = [fake.arm_record("gen_01", 80.0, params=10_000_000), stopped, fake.arm_record("gen_02_scratch", 70.0)]
    run = read_run(fake.write_run(tmp_path / "run", records))
    drawn = {one.name: one for one in draw(run).all}
    assert {"curve-metric", "curve-term-kd", "generalisation-gap", "arms", "retention", "size-latency"} <= set(drawn)
    assert "stopped early" in drawn["curve-metric"].note
    assert "over seeds" not in " ".join(one.note for one in drawn.values())
    assert "an arrow leads" in drawn["size-latency"].note


def test_changes_by_class_are_paired_by_seed(pairs: StudyFacts) -> None:
    changes = class_changes(pairs.named("gen_02"), pairs.named("gen_02_scratch"))
    for name, values in changes.items():
        expected = [
            one.figures.class_accuracy[name] - other.figures.class_accuracy[name]
            for one, other in zip(pairs.named("gen_02").trials, pairs.named("gen_02_scratch").trials, strict=True)
        ]
        assert values == pytest.approx(expected)
    assert set(changes) == {"cat", "dog", "owl", "fox", "bee"}


def test_calibration_reads_the_bins(pairs: StudyFacts) -> None:
    charts = class_charts(pairs, compute(pairs), looks(pairs))
    calibration = next(one for one in charts if one.name == "calibration")
    assert "student (distilled) 0.096" in calibration.alternative


def test_figures_without_data_are_left_out(fake: ModuleType, tmp_path: Path) -> None:
    bare = {"fidelity": {}, "latency_ms": None}
    records = [
        fake.arm_record("gen_02", 71.0, teacher="gen_01") | bare,
        fake.arm_record("gen_02_scratch", 70.0) | bare,
    ]
    study = read_runs([fake.write_run(tmp_path / "a", records)])
    numbers = compute(study)
    assert class_charts(study, numbers, looks(study)) == []
    assert grid_charts(study, numbers) == []
    assert {one.name for one in outcome_charts(study, numbers, looks(study))} == {"arms", "differences"}


def test_three_generations_are_drawn_as_a_chain(fake: ModuleType, tmp_path: Path) -> None:
    records = [
        fake.arm_record("gen_01", 79.91, params=44_500_000),
        fake.arm_record("gen_02", 69.02, teacher="gen_01", params=2_350_000),
        fake.arm_record("gen_03", 67.87, teacher="gen_02", params=815_780),
    ]
    study = read_runs([fake.write_run(tmp_path / "a", records)])
    chain = next(one for one in outcome_charts(study, compute(study), looks(study)) if one.name == "generations")
    assert "generation 3: 67.87, 815.8 k parameters" in chain.alternative


def test_one_setting_is_a_curve(fake: ModuleType, tmp_path: Path) -> None:
    runs = []
    for weight in (1.0, 2.0, 8.0):
        method = {"method": {"name": "dkd", "nckd_weight": weight}}
        runs.append(fake.write_pair(tmp_path / str(weight), 72.0 - weight, 66.0, config=method))
    study = read_runs(runs)
    (drawn,) = grid_charts(study, compute(study))
    assert drawn.title == "Top-1 accuracy by NCKD weight"
    assert "NCKD weight 8 64.00 %" in drawn.alternative


def test_the_mechanism_is_drawn_for_two_sizes_only(fake: ModuleType, tmp_path: Path) -> None:
    networks = [{"name": "timm/big"}, {"name": "timm/small"}]
    cross = {"data": {"input_size": 32, "teacher_size": 64}, "networks": networks}
    same = {"data": {"input_size": 32, "teacher_size": None}, "networks": networks}
    drawn = mechanism_chart(read_run(fake.write_pair(tmp_path / "a", 71.0, 70.0, config=cross)))
    assert drawn is not None
    assert "The teacher sees each image at 64 pixels, the student at 32" in drawn.alternative
    assert mechanism_chart(read_run(fake.write_pair(tmp_path / "b", 71.0, 70.0, config=same))) is None


def test_equal_data_gives_equal_pictures_and_a_legend_only_in_files(pairs: StudyFacts) -> None:
    first, second = (curve_charts(pairs, looks(pairs))[0] for _ in range(2))
    assert first.source == second.source
    before = first.height
    add_legend(first)
    assert first.height > before
    assert len(as_svg(first.figure)) > len(as_svg(second.figure))


def test_many_arms_have_colours_of_their_own() -> None:
    drawn = role_strokes({f"arm-{place}": "method" for place in range(24)} | {"scratch": "control"})
    assert len({stroke.colour for stroke in drawn.values()}) == 25
    assert drawn["scratch"].dashes
    assert not drawn["arm-0"].dashes
