"""What the figures of a study draw: the data behind them, and when they are left out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import ModuleType

import pytest
from matplotlib.axes import Axes

from densedistill.distill.report.drawing import Stroke, add_legend, as_svg, strokes, text_on
from densedistill.distill.report.latencies import latencies
from densedistill.distill.report.mechanism import mechanism_chart
from densedistill.distill.report.page import draw
from densedistill.distill.report.reading import read_run
from densedistill.distill.report.run_groups import read_runs
from densedistill.distill.report.study_classes import class_changes, class_charts
from densedistill.distill.report.study_courses import at_the_end, courses, ended_together
from densedistill.distill.report.study_curves import curve_charts
from densedistill.distill.report.study_facts import StudyFacts
from densedistill.distill.report.study_frames import legend_over, panels_of
from densedistill.distill.report.study_gap import gap_chart, task_term
from densedistill.distill.report.study_grids import grid_charts
from densedistill.distill.report.study_looks import is_control, study_strokes
from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_outcomes import outcome_charts
from densedistill.distill.report.study_page import sections_of
from densedistill.distill.report.study_reading import read_study_facts


@pytest.fixture
def pairs(fake: ModuleType, tmp_path: Path) -> StudyFacts:
    return read_runs([fake.write_pair(tmp_path / str(seed), 71.0 + seed, 70.0, seed=seed) for seed in range(2)])


def looks(study: StudyFacts) -> dict[str, Stroke]:
    return study_strokes(study)


def cut(run: Path, epochs: int) -> Path:
    """A run whose last epochs are gone."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["epoch"] <= epochs]
    (run / "metrics.jsonl").write_text("\n".join(kept))
    return run


def test_curves_hold_every_seed(pairs: StudyFacts) -> None:
    course = courses(pairs.named("gen_02"), lambda line: line.val.get("accuracy"))
    assert list(course) == [0, 1]
    assert [list(own) for own in course.values()] == [list(range(1, 13))] * 2
    assert [own[12] for own in course.values()] == pytest.approx([best * (1 - 0.9 * 0.75**12) for best in (72, 73)])


def test_seeds_that_end_apart_have_no_mean_over_those_that_are_left(fake: ModuleType, tmp_path: Path) -> None:
    """The mean once jumped where a seed was stopped, and the gap was of the seed that lasted longest."""
    runs = [fake.write_pair(tmp_path / str(seed), 71.0 + 9 * seed, 70.0, seed=seed) for seed in range(2)]
    cut(runs[1], 4)
    study = read_runs(runs)
    course = courses(study.named("gen_02"), lambda line: line.val.get("accuracy"))
    assert not ended_together(course)
    assert at_the_end(course) == pytest.approx((72 * (1 - 0.9 * 0.75**12) + 81 * (1 - 0.9 * 0.75**4)) / 2)
    drawn = {one.name: one for one in curve_charts(study, looks(study))}
    lines = [
        line for line in drawn["curve-metric"].figure.axes[0].lines if line.get_color() == looks(study)["gen_02"].colour
    ]
    assert sorted(len(line.get_xdata()) for line in lines) == [4, 12]
    assert "each has a line of its own" in drawn["curve-metric"].note
    gap = sum(0.3 * (1 - 0.75**last) for last in (4, 12)) / 2
    assert f"student (scratch) {gap:+.3g}" in drawn["generalisation-gap"].alternative


def test_what_is_evaluated_once_has_no_curve(fake: ModuleType, tmp_path: Path) -> None:
    run = fake.write_pair(tmp_path / "a", 71.0, 70.0)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    told = [line if line["epoch"] == 12 else line | {"val": {}, "val_loss": None} for line in lines]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, told)))
    study = read_runs([run])
    names = {one.name for one in curve_charts(study, looks(study))}
    assert {"curve-train-loss", "curve-learning-rate"} <= names
    assert not {"curve-metric", "curve-val-loss", "curve-last-epochs", "generalisation-gap"} & names


def test_epochs_are_whole(fake: ModuleType, tmp_path: Path) -> None:
    study = read_runs([fake.write_pair(tmp_path / "a", 71.0, 70.0, epochs=2)])
    (axes,) = next(one for one in curve_charts(study, looks(study)) if one.name == "curve-metric").figure.axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1, 2]


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
    panels = panels_of(study, looks(study), [arm.arm for arm in study.arms])
    weak, strong = panels
    assert (weak.title, strong.title) == ("weak", "strong")
    assert list(strong.looks) == [name.replace("weak-", "strong-") for name in weak.looks]
    assert list(strong.looks.values()) == list(weak.looks.values())
    assert [label for label, _ in legend_over(study, panels)] == ["student (distilled)", "student (scratch)"]
    drawn = next(one for one in curve_charts(study, looks(study)) if one.name == "curve-metric")
    assert "student (scratch) (strong) ends at" in drawn.alternative


def test_every_stroke_of_a_section_is_in_its_legend(pairs: StudyFacts) -> None:
    """The legend once had the colours of arms among all arms, and the curves those of arms within their condition."""
    study = under(pairs, ("weak", "strong"))
    study = dataclasses.replace(study, arms=(*study.arms[1:], study.arms[0]), pairs=())
    training = next(one for one in sections_of(study, compute(study)) if one.title == "Training")
    known = {label: stroke.colour for label, stroke in training.legend}
    assert list(known) == ["student (scratch)", "student (distilled)"]
    for one in training.charts:
        colours = {line.get_color() for axes in one.figure.axes for line in axes.lines}
        assert colours <= set(known.values())
    gap = next(one for one in training.charts if one.name == "generalisation-gap")
    for axes in filter(Axes.get_visible, gap.figure.axes):
        label = " ".join(axes.get_title().split()).partition(") (")[0].removesuffix(")") + ")"
        assert {line.get_color() for line in axes.lines} == {known[label]}


def test_the_gaps_that_are_drawn_are_of_every_condition(pairs: StudyFacts) -> None:
    study = under(pairs, ("weak", "strong"))
    weak = [dataclasses.replace(study.arms[0], arm=f"weak-{place}", label=f"KD {place} (weak)") for place in range(6)]
    study = dataclasses.replace(study, arms=(*weak, *study.arms))
    drawn = gap_chart(study, looks(study))
    assert drawn is not None
    assert drawn.alternative.count("(weak)") == 4
    assert drawn.alternative.count("(strong)") == 2


def test_without_conditions_or_with_many_there_is_one_frame(pairs: StudyFacts) -> None:
    for study in (pairs, under(pairs, ("a", "b", "c", "d"))):
        names = [arm.arm for arm in study.arms]
        (panel,) = panels_of(study, looks(study), names)
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


def test_of_many_loss_terms_those_that_arms_share_are_drawn(fake: ModuleType, tmp_path: Path) -> None:
    run = fake.write_pair(tmp_path / "a", 71.0, 70.0)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line["losses"] |= {f"own-{place}": 1.0 for place in range(4) if line["arm"] == "gen_02"}
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    study = read_runs([run])
    drawn = {one.name for one in curve_charts(study, looks(study)) if one.name.startswith("curve-term-")}
    assert drawn == {"curve-term-ce"}


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


def test_many_arms_can_be_told_apart() -> None:
    drawn = strokes([f"arm-{place}" for place in range(21)])
    assert len({(stroke.colour, stroke.dashes, stroke.marker) for stroke in drawn.values()}) == 21
    assert len({stroke.colour for stroke in drawn.values()}) == 7


def test_many_arms_along_an_axis_have_an_order_of_colours(fake: ModuleType, tmp_path: Path) -> None:
    study = read_study_facts(fake.write_grid(tmp_path, temperatures=(1, 2, 4, 8, 16), seeds=1))
    drawn = study_strokes(study)
    assert drawn["scratch"].hollow
    assert len({stroke.colour for stroke in drawn.values()}) == 11
    assert not any(stroke.dashes for arm, stroke in drawn.items() if arm != "scratch")


def test_a_control_that_is_taught_and_compared_is_drawn_as_what_it_is(pairs: StudyFacts) -> None:
    arms = tuple(dataclasses.replace(arm, role="control") for arm in pairs.arms)
    study = dataclasses.replace(pairs, arms=arms)
    assert [is_control(study, arm) for arm in arms] == [True, False, True]
    alone = dataclasses.replace(study, pairs=())
    assert is_control(alone, study.named("gen_02"))


def test_words_on_pale_colours_are_dark() -> None:
    assert text_on("#0072B2") == text_on("#D55E00") == "white"
    assert text_on("#E69F00") == text_on("#56B4E9") == "#1c2127"


def test_one_network_has_one_latency(fake: ModuleType, tmp_path: Path) -> None:
    """Measurements of one network differ by what else the machine does, which is no property of a method."""
    records = [
        fake.arm_record("gen_01", 80.0, latency_ms=9.0, params=10_000_000),
        fake.arm_record("gen_02", 71.0, teacher="gen_01", latency_ms=6.0),
        fake.arm_record("gen_02_scratch", 70.0, latency_ms=1.7),
    ]
    study = read_runs([fake.write_run(tmp_path / "a", records)])
    found = latencies(study)
    assert {arm: (one.milliseconds, one.measurements) for arm, one in found.items()} == {
        "gen_01": (9.0, 1),
        "gen_02": (1.7, 2),
        "gen_02_scratch": (1.7, 2),
    }
    drawn = {one.name: one for one in outcome_charts(study, compute(study), looks(study))}
    assert "the fastest of 1 to 2 measurements" in drawn["size-latency"].note
    alone = dataclasses.replace(study, arms=study.arms[1:])
    assert "size-latency" not in {one.name for one in outcome_charts(alone, compute(alone), looks(alone))}


@pytest.mark.parametrize(("copies", "named"), [(1, True), (24, False)])
def test_many_points_are_named_by_the_legend_alone(pairs: StudyFacts, copies: int, named: bool) -> None:
    """Two dozen names once left the frame no room: matplotlib gave up laying it out."""
    teacher, *arms = pairs.arms
    many = [dataclasses.replace(arm, arm=f"{arm.arm}-{place}") for arm in arms for place in range(copies)]
    study = dataclasses.replace(pairs, arms=(teacher, *many), pairs=())
    figures = outcome_charts(study, compute(study), looks(study))
    (drawn,) = (one for one in figures if one.name == "size-latency")
    assert all(bool(axes.texts) is named for axes in drawn.figure.axes)
    assert len(drawn.legend) == 1 + len(many)


def test_long_labels_are_not_cut_to_one_text(pairs: StudyFacts) -> None:
    names = ("DKD, β 8, without CE, patience 2 (weak)", "DKD, β 8, without CE, patience 2 (strong)")
    arms = [dataclasses.replace(arm, label=name) for arm, name in zip(pairs.arms[1:], names, strict=True)]
    study = dataclasses.replace(pairs, arms=tuple(arms))
    (axes,) = next(one for one in outcome_charts(study, compute(study), looks(study)) if one.name == "arms").figure.axes
    assert [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()] == list(names)
