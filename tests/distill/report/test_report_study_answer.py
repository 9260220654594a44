"""What a study's report answers: its first lines, the figures it counts, the claim and the contrasts."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scipy import stats

from densedistill.distill.report import write_study_report
from densedistill.distill.report.study_markdown import study_markdown
from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_reading import read_study_facts
from densedistill.distill.report.study_tables import study_sheets
from densedistill.distill.report.study_words import answer

GAINS = {"weak": (-13.0, -15.0, -15.5), "strong": (-10.0, -12.4, -12.0)}
CONTRAST = {
    "contrast": "harm",
    "label": "harm, strong minus weak",
    "of": ["strong-dkd", "strong-kd"],
    "minus": ["weak-dkd", "weak-kd"],
}


def test_the_answer_stands_first(fake: ModuleType, tmp_path: Path) -> None:
    text = fake.plain(fake.written(fake.two_arms(tmp_path)))
    p = stats.ttest_rel(fake.STUDENT, fake.SCRATCH).pvalue
    answer = f"KD: +0.97 ± 0.21 points over scratch, 3 seeds, p = {p:.3f}."
    assert answer in text
    assert text.index("Does distillation help?") < text.index(answer) < text.index("Arms")
    assert "It gains 8 points." in text


def test_the_first_line_names_the_arms_that_differ(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.two_arms(tmp_path, (75.0, 75.4, 75.2), notes=["The data was encoded anew."])
    listed = json.loads((folder / "study.json").read_text())
    method = listed["arms"][1]
    listed["arms"] += [method | {"arm": f"copy-{place}", "label": f"soft copy {place}"} for place in range(5)]
    turned = [one | {"seed": (one["seed"] + 1) % 3} for one in listed["arms"][0]["trials"]]
    listed["arms"].append(method | {"arm": "same", "label": "no teacher", "trials": turned})
    (folder / "study.json").write_text(json.dumps(listed))
    study = read_study_facts(folder)
    told = answer(study, compute(study))
    assert told.headline.startswith(
        "KD (+4.93), soft copy 0 (+4.93), soft copy 1 (+4.93) and soft copy 2 (+4.93 points) gain on scratch; 2 more "
        "gain; in 1 of 7 comparisons no difference is shown. The highest"
    )
    assert [outcome for _, _, outcome in told.lines] == ["better"] * 6 + ["none"]
    page = fake.written(folder)
    head, _, rest = page.partition("<details")
    assert head.count('<li class="better">') == 6
    assert "1 comparison in which no difference is shown" in rest.partition("</details>")[0]
    assert page.index("It gains 8 points.") < page.index("The data was encoded anew.") < page.index("</header>")


def test_a_first_line_without_a_difference_says_so(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.two_arms(tmp_path, fake.SCRATCH[1:] + fake.SCRATCH[:1])
    listed = json.loads((folder / "study.json").read_text())
    listed["arms"].append(listed["arms"][1] | {"arm": "again", "label": "soft maps"})
    (folder / "study.json").write_text(json.dumps(listed))
    study = read_study_facts(folder)
    told = answer(study, compute(study)).headline
    assert told.startswith("In none of 2 comparisons with scratch is a difference shown. The highest")


def test_numbers_are_those_of_the_trials(fake: ModuleType, tmp_path: Path) -> None:
    study = read_study_facts(fake.two_arms(tmp_path))
    numbers = compute(study)
    student = numbers.of("kd")
    assert student.test is not None
    assert student.retention is not None
    assert student.test.mean == pytest.approx(sum(fake.STUDENT) / 3)
    assert student.retention.mean == pytest.approx(sum(fake.STUDENT) / 3 / 80.0)
    assert student.gap_closed == pytest.approx((sum(fake.STUDENT) - sum(fake.SCRATCH)) / (240.0 - sum(fake.SCRATCH)))
    assert numbers.of("scratch").gap_closed is None
    assert numbers.where == "the test set toys"


def test_trials_without_a_result_count_nowhere_and_are_shown(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.two_arms(tmp_path, (71.0, 71.6, None), complete=False)
    listed = json.loads((folder / "study.json").read_text())
    listed["arms"][1]["trials"][2] |= {"state": "failed", "error": "loss is nan at step 12", "retries": 1, "val": 99.0}
    (folder / "study.json").write_text(json.dumps(listed))
    found = compute(read_study_facts(folder)).of("kd")
    assert found.compared is not None
    assert found.compared.count == 2
    text = fake.plain(fake.written(folder))
    assert "Of 6 trials, 1 failed: they count in no figure here." in text
    assert "loss is nan at step 12" in text
    assert "2 seeds (1 more without a pair)" in text
    assert "not finished" in text


def test_one_seed_has_no_test(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.two_arms(tmp_path)
    listed = json.loads((folder / "study.json").read_text())
    for arm in listed["arms"]:
        del arm["trials"][1:]
    (folder / "study.json").write_text(json.dumps(listed))
    text = fake.plain(fake.written(folder))
    assert "no test is computed: one seed (+0.90 points over scratch)" in text
    assert "±" not in text.partition("Comparisons")[0]


def test_a_study_with_a_metric_of_its_own_is_judged_by_it(fake: ModuleType, tmp_path: Path) -> None:
    """Runs are selected by their task's metric, accuracy; this study is judged by another figure of the test set."""
    reached = {"scratch": (0.50, 0.51, 0.49), "kd": (0.60, 0.62, 0.61)}
    arms: list[dict[str, Any]] = []
    for name, values in reached.items():
        taught = name == "kd"
        trials = []
        for seed, ods in enumerate(values):
            entry = fake.trial(tmp_path, name, seed, None, taught=taught) | {"state": "done", "test": ods}
            records = [fake.arm_record("gen_01", 90.0, tests={"toys": {"accuracy": 90.0, "ods": 0.8}})] * taught
            tests = {"toys": {"accuracy": 70.0 + seed, "ods": ods}}
            teacher = "gen_01" if taught else None
            records.append(fake.arm_record(entry["arm_in_run"], 70.0 + seed, teacher=teacher, tests=tests))
            fake.write_run(tmp_path / entry["run"], records, seed=seed)
            trials.append(entry)
        role, against = ("method", "scratch") if taught else ("control", None)
        arms.append({"arm": name, "label": name, "role": role, "against": against, "trials": trials})
    metric = {"name": "ods", "unit": "", "higher_is_better": True}
    study = read_study_facts(fake.write_study(tmp_path, arms, metric=metric, teachers=[]))
    numbers = compute(study)
    [judged] = numbers.judged
    assert judged.comparison.mean == pytest.approx(0.11)
    kd = numbers.of("kd")
    assert kd.retention is not None
    assert kd.retention.mean == pytest.approx(0.61 / 0.8)
    assert kd.gap_closed == pytest.approx(0.11 / 0.30)
    heads = " ".join(study_sheets(study, numbers)[0].heads)
    assert ("val top-1" in heads, "test ODS" in heads) == (True, True), heads


def test_a_third_generation_is_measured_by_the_second(fake: ModuleType, tmp_path: Path) -> None:
    entry = fake.trial(tmp_path, "chain", 0, None, taught=True) | {
        "state": "done",
        "arm_in_run": "gen_03",
        "test": 65.0,
    }
    records = [
        fake.arm_record("gen_01", 80.0),
        fake.arm_record("gen_02", 70.0, teacher="gen_01"),
        fake.arm_record("gen_03", 65.0, teacher="gen_02"),
    ]
    fake.write_run(tmp_path / entry["run"], records)
    arm = {"arm": "chain", "label": "chain", "role": "method", "against": None, "teacher": "t1", "trials": [entry]}
    study = read_study_facts(fake.write_study(tmp_path, [arm]))
    retention = compute(study).of("chain").retention
    assert retention is not None
    assert retention.mean == pytest.approx(65 / 70)


@pytest.mark.parametrize(
    ("side", "student", "sentence"),
    [
        ("better", "better", "That KD is better than scratch is borne out here."),
        ("worse", "better", "That KD is worse than scratch is contradicted here."),
        ("better", "equal", "That KD is better than scratch is not shown here."),
        ("better", "alone", "That KD is better than scratch is not tested here."),
    ],
)
def test_what_came_of_the_claim(fake: ModuleType, tmp_path: Path, side: str, student: str, sentence: str) -> None:
    figures = {
        "better": fake.STUDENT,
        "equal": fake.SCRATCH[1:] + fake.SCRATCH[:1],
        "alone": (fake.STUDENT[0], None, None),
    }
    claim = {"text": "It gains.", "source": "reference 003", "expects": {"kd": side}}
    assert sentence in fake.plain(fake.written(fake.two_arms(tmp_path, figures[student], claim=claim)))


def test_a_claim_of_several_arms_is_counted(fake: ModuleType, tmp_path: Path) -> None:
    study = read_study_facts(fake.write_grid(tmp_path))
    arms = [one.arm for one in study.arms if one.role == "method"]
    told = answer(dataclasses.replace(study, expects=dict.fromkeys(arms, "worse")), compute(study))
    outcomes = [outcome for _, _, outcome in told.lines]
    assert sorted(outcomes) == ["better", "none", "none", "none"]
    assert told.claim == "Of 4 differences that follow from it, 1 is contradicted and 3 are not shown here."
    assert sum(text.endswith("The claim says worse: contradicted") for _, text, _ in told.lines) == 1


def factors(fake: ModuleType, folder: Path, seeds: int = 3, **changes: Any) -> Path:
    arms: list[dict[str, Any]] = []
    for condition, gains in GAINS.items():
        kd, dkd = f"{condition}-kd", f"{condition}-dkd"
        figures = {kd: fake.SCRATCH, dkd: [value + gain for value, gain in zip(fake.SCRATCH, gains, strict=True)]}
        for name, values in figures.items():
            trials = [fake.trial(folder, name, seed, None, taught=True) for seed in range(seeds)]
            for seed, entry in enumerate(trials):
                entry |= {"state": "done", "test": values[seed], "val": values[seed], "run": None}
            against, label = (None, "KD") if name == kd else (kd, "DKD")
            role = "control" if name == kd else "method"
            label = f"{label} ({condition})"
            arms.append({"arm": name, "label": label, "role": role, "against": against, "trials": trials})
    claim = {"text": "Worse under strong.", "source": "reference 000", "expects": {"harm": "worse"}}
    kept = {"claim": claim, "contrasts": [CONTRAST], "control": "kd", "teachers": [], **changes}
    return Path(fake.write_study(folder, arms, **kept))


def test_a_contrast_is_tested_and_told_beside_the_comparisons(fake: ModuleType, tmp_path: Path) -> None:
    study = read_study_facts(factors(fake, tmp_path))
    numbers = compute(study)
    [found] = numbers.contrasts
    theirs = stats.ttest_rel(GAINS["strong"], GAINS["weak"])
    assert found.comparison.paired is not None
    assert found.comparison.paired.p == pytest.approx(theirs.pvalue)
    assert found.comparison.family == len(numbers.judgements) == 3
    told = answer(study, numbers)
    arm, verdict, outcome = told.lines[-1]
    assert (arm, outcome) == ("harm, strong minus weak", "better")
    gain = "+3.03 ± 0.45 points over DKD (weak) \N{MINUS SIGN} KD (weak), 3 seeds, p = "
    assert verdict.startswith(gain)
    assert verdict.endswith("(Holm, 3 tests). The claim says worse: contradicted")
    assert told.claim == (
        "That DKD (strong) \N{MINUS SIGN} KD (strong) is worse than DKD (weak) \N{MINUS SIGN} KD (weak) is "
        "contradicted here."
    )
    assert told.headline.startswith("DKD (weak)")


def test_contrasts_have_a_table_on_the_page_and_beside_it(fake: ModuleType, tmp_path: Path) -> None:
    folder = factors(fake, tmp_path)
    write_study_report(folder)
    tables = folder / "report_files" / "tables"
    with (tables / "contrasts.csv").open(encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    assert row["contrast"] == "harm, strong minus weak"
    assert row["minus"] == "DKD (weak) \N{MINUS SIGN} KD (weak)"
    assert float(row["difference, points"]) == pytest.approx(9.1 / 3)
    assert float(row["p, paired"]) == pytest.approx(stats.ttest_rel(GAINS["strong"], GAINS["weak"]).pvalue)
    assert {path.suffix for path in tables.glob("contrasts.*")} == {".csv", ".md", ".tex"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.index("<h2>Comparisons</h2>") < page.index("<h2>Contrasts</h2>") < page.index("<h2>Outcome</h2>")
    assert "corrected for all comparisons and contrasts" in fake.plain(page)
    assert "| harm, strong minus weak | DKD (strong) " in study_markdown(read_study_facts(folder))


def test_a_contrast_of_one_seed_or_without_its_arms(fake: ModuleType, tmp_path: Path) -> None:
    text = fake.plain(fake.written(factors(fake, tmp_path / "one", seeds=1)))
    assert "no test is computed: one seed (+3.00 points over DKD (weak) \N{MINUS SIGN} KD (weak))" in text
    assert "is not tested here" in text
    gone = read_study_facts(factors(fake, tmp_path / "gone", contrasts=[{**CONTRAST, "of": ["strong-dkd", "nobody"]}]))
    assert gone.contrasts == ()


def test_reference_arithmetic_is_flagged_where_it_belongs(fake: ModuleType, tmp_path: Path) -> None:
    told = "Reference 003, section 8: it has 73 % fewer; from its figures 44.5, 3.5 follows 92.1 %."
    folder = fake.two_arms(tmp_path, arithmetic=[told])
    assert told in fake.plain(fake.written(folder)).replace("\N{NO-BREAK SPACE}", " ")
    assert told in study_markdown(read_study_facts(folder))
    assert "Arithmetic" not in fake.plain(fake.written(fake.two_arms(tmp_path / "other")))


def test_a_study_without_a_claim_tells_what_its_runs_tell(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.two_arms(tmp_path, claim=None)
    for seed in range(2):
        result = folder / "runs" / "kd" / f"seed-{seed}" / "result.json"
        result.write_text(json.dumps(json.loads(result.read_text()) | {"arithmetic": ["It does not follow."]}))
    assert read_study_facts(folder).arithmetic == ("It does not follow.",)


def test_only_figures_of_the_claim_s_document_stand_beside_a_study(fake: ModuleType, tmp_path: Path) -> None:
    sources = ("reference 003, section 5.2", "reference 004: a mean", "Tian 2020, table 1")
    listed = [{"arm": "gen_02", "value": 9.5, "metric": "accuracy", "split": "test", "source": one} for one in sources]
    folder = fake.two_arms(tmp_path)
    result = folder / "runs" / "kd" / "seed-0" / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"references": listed}))
    claims = {
        "": sources,
        "reference 004": sources[1:2],
        "their own papers": (),
        "reference 003, section 8": sources[:1],
    }
    for source, kept in claims.items():
        study = json.loads((folder / "study.json").read_text()) | {"claim": {"text": "x", "source": source}}
        (folder / "study.json").write_text(json.dumps(study))
        assert tuple(one.source for one in read_study_facts(folder).references) == kept
