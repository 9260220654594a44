"""A study's page and the files beside it: charts, samples, configurations, notices."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.report import write_study_report
from densedistill.distill.report.shared_teachers import teacher_labels
from densedistill.distill.report.study_looks import bare_label
from densedistill.distill.report.study_markdown import study_markdown
from densedistill.distill.report.study_numbers import compute
from densedistill.distill.report.study_reading import read_study_facts
from densedistill.distill.report.study_samples import study_panels
from densedistill.distill.report.study_settings import settings_sheet
from densedistill.distill.report.study_words import notices_of


@pytest.fixture(scope="module")
def grid(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temperature-alpha study with its report."""
    folder = Path(fake.write_grid(tmp_path_factory.mktemp("study") / "grid"))
    write_study_report(folder)
    return folder


def test_a_study_that_has_only_begun_has_a_report(fake: ModuleType, tmp_path: Path) -> None:
    arm = {"arm": "kd", "role": "method", "trials": [fake.trial(tmp_path, "kd", 0, None, taught=True)]}
    text = fake.plain(fake.written(fake.write_study(tmp_path, [arm], teachers=[])))
    assert "Nothing has been measured yet." in text
    assert "Of 1 trials, 1 waiting" in text


def test_runs_may_be_gone(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.two_arms(tmp_path / "kept")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "study.json").write_bytes((folder / "study.json").read_bytes())
    text = fake.plain(fake.written(alone))
    assert "KD: +0.97 ± 0.21 points over scratch, 3 seeds" in text
    assert "1.00 M" not in text


def test_a_grid_is_a_heat_map_with_its_claims(fake: ModuleType, grid: Path) -> None:
    page = (grid / "report.html").read_text(encoding="utf-8")
    for title in (
        "Temperature T and share of the teacher α",
        "Top-1 accuracy by temperature T",
        "Top-1 accuracy of all arms",
        "Differences to scratch",
        "Retention",
        "Top-1 accuracy on validation",
        "The last 3 epochs",
        "Training and validation loss",
        "Calibration",
        "Classes: KD, T 20, α 0.9",
    ):
        assert f"<figcaption>{title}</figcaption>" in page
    text = fake.plain(page)
    judged = {one.arm.arm: one.verdict.outcome for one in compute(read_study_facts(grid)).judged}
    assert judged["kd-20-0.9"] == "better"
    assert judged["kd-1-0.1"] == "none"
    assert text.count(": no difference shown: ") == sum(outcome == "none" for outcome in judged.values())
    assert "(Holm, 4 tests)" in text


def test_the_page_needs_nothing_else(grid: Path) -> None:
    page = (grid / "report.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert addresses
    assert all(address.startswith("data:image/") for address in addresses)
    assert "<script" not in page


def test_the_same_figures_and_tables_lie_beside_it(grid: Path) -> None:
    figures = {path.stem: set() for path in (grid / "report_files" / "figures").iterdir()}
    for path in (grid / "report_files" / "figures").iterdir():
        figures[path.stem].add(path.suffix)
    assert {"heat-map", "arms", "differences", "retention", "curve-last-epochs", "calibration"} <= set(figures)
    assert figures.pop("samples") == {".png"}
    assert all(kinds == {".svg", ".png"} for kinds in figures.values())
    with (grid / "report_files" / "tables" / "comparisons.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    judged = {one.arm.label: one for one in compute(read_study_facts(grid)).judged}
    for row in rows:
        paired = judged[row["arm"]].comparison.paired
        assert paired is not None
        assert float(row["p, paired"]) == paired.p


def test_stale_files_go(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_study(tmp_path, [], teachers=[])
    stale = [folder / "report_files" / part for part in ("figures/heat-map.svg", "tables/seeds.csv")]
    for path in stale:
        path.parent.mkdir(parents=True)
        path.write_text("old")
    write_study_report(folder)
    assert not any(path.exists() for path in stale)


def test_samples_show_every_arm_s_confidence(fake: ModuleType, tmp_path: Path) -> None:
    page = fake.written(fake.two_arms(tmp_path))
    samples = page.partition("<h2>Samples</h2>")[2].partition("</section>")[0]
    assert re.findall(r'<th scope="col">([^<]+)</th>', samples) == ["input", "truth", "scratch", "KD"]
    assert samples.count("cat, 61.9%") == 4
    assert samples.count("✓") == samples.count("✗") == 2


def test_samples_show_each_teacher_before_the_arms(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.two_arms(tmp_path)
    fake.write_run(folder / "teachers" / "t1", [fake.arm_record("gen_01", 80.0, network="net/big")])
    study = read_study_facts(folder)
    panels = study_panels(study, compute(study))
    assert panels is not None
    assert panels.columns == ("input", "truth", "teacher net/big", "scratch", "KD")


def test_of_many_arms_samples_show_those_that_are_compared_with_nothing_and_the_best(
    fake: ModuleType, tmp_path: Path
) -> None:
    """Controls that are themselves compared with another are no conditions' controls."""
    folder = fake.two_arms(tmp_path)
    listed = json.loads((folder / "study.json").read_text())
    control, method = listed["arms"]
    listed["arms"].append(control | {"arm": "weak", "label": "weak", "against": "scratch"})
    listed["arms"] += [method | {"arm": f"kd-{place}", "label": f"KD {place}"} for place in range(6)]
    (folder / "study.json").write_text(json.dumps(listed))
    study = read_study_facts(folder)
    panels = study_panels(study, compute(study))
    assert panels is not None
    assert panels.columns == ("input", "truth", "scratch", "KD", "KD 0", "KD 1", "KD 2", "KD 3")


@pytest.mark.parametrize(("file", "kept"), [("/weights/big.pth", ["t1"]), (None, ["t1", "t2"])])
def test_a_teacher_that_is_loaded_twice_is_one(
    fake: ModuleType, tmp_path: Path, file: str | None, kept: list[str]
) -> None:
    folder = fake.two_arms(tmp_path)
    listed = json.loads((folder / "study.json").read_text())
    listed["arms"].append(listed["arms"][1] | {"arm": "again", "teacher": "t2"})
    listed["teachers"].append(listed["teachers"][0] | {"key": "t2", "run": "teachers/t2"})
    (folder / "study.json").write_text(json.dumps(listed))
    for place, key in enumerate(("t1", "t2")):
        config = {"teacher_weights": file, "networks": [{"name": "net/big"}], "data": {"augmentation": place}}
        fake.write_run(folder / "teachers" / key, [fake.arm_record("gen_01", 80.0)], config=config)
    study = read_study_facts(folder)
    assert [one.key for one in study.teachers] == kept
    assert study.named("again").teacher == kept[-1]


def test_a_condition_is_called_by_its_label(fake: ModuleType, tmp_path: Path) -> None:
    """Two teachers of one network are told apart by the condition that each teaches under."""
    folder = fake.two_arms(tmp_path, condition_labels={"weak": "weak views"})
    listed = json.loads((folder / "study.json").read_text())
    first, method = listed["arms"]
    taught = [("weak", "KD (weak views)", "t1"), ("strong", "KD (strong)", "t2")]
    listed["arms"] = [first] + [
        method | {"arm": f"{name}-kd", "label": label, "condition": name, "teacher": key} for name, label, key in taught
    ]
    listed["teachers"].append(listed["teachers"][0] | {"key": "t2", "run": "teachers/t2"})
    (folder / "study.json").write_text(json.dumps(listed))
    study = read_study_facts(folder)
    _, weak, strong = study.arms
    assert (weak.condition, strong.condition) == ("weak views", "strong")
    assert bare_label(weak) == bare_label(strong) == "KD"
    network = study.teachers[0].figures.network
    assert teacher_labels(study) == {"t1": f"teacher {network} (weak views)", "t2": f"teacher {network} (strong)"}
    both = dataclasses.replace(weak, arm="both", teacher="t2")
    study = dataclasses.replace(study, arms=(*study.arms, both))
    assert teacher_labels(study)["t2"] == f"teacher {network} (t2)"


def test_notices_are_marked(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.two_arms(tmp_path)
    result = folder / "runs" / "kd" / "seed-1" / "result.json"
    told = "stopped early while the learning rate was at 63 % of its peak: this is not evidence of collapse"
    listed = json.loads(result.read_text())
    listed["arms"][0]["notices"] = [{"kind": "early_stop", "text": told, "epoch": 9}]
    result.write_text(json.dumps(listed))
    page = fake.written(folder)
    assert f"KD, seed 1 : {told}" in fake.plain(page)
    assert page.index(told) < page.index("<h2>Arms")


def test_notices_that_differ_in_figures_alone_are_one(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.two_arms(tmp_path)
    told = "stopped early at {} % of the peak of gen_02: this is not evidence of collapse"
    for share, run in ((63, "kd/seed-1"), (8.5, "kd/seed-0"), (30, "scratch/seed-2")):
        result = folder / "runs" / run / "result.json"
        listed = json.loads(result.read_text())
        listed["arms"][0]["notices"] = [{"kind": "early_stop", "text": told.format(share), "epoch": 9}]
        result.write_text(json.dumps(listed))
    assert notices_of(read_study_facts(folder)) == [("scratch; KD (3 trials)", told.format("8.5 to 63"))]


def test_differences_of_the_configurations(fake: ModuleType, tmp_path: Path) -> None:
    text = fake.plain(fake.written(fake.two_arms(tmp_path)))
    table = text.partition("Differences of the configurations")[2].partition("Data")[0]
    assert "arm scratch scratch KD kd" in table
    assert "seed" not in table


def test_teachers_stand_where_they_teach(fake: ModuleType, tmp_path: Path) -> None:
    """A run that takes a shared teacher over names no weights, and one without a teacher names its preset's method."""
    folder = fake.two_arms(tmp_path)
    listed = json.loads((folder / "study.json").read_text())
    again = [fake.trial(folder, "again", seed, 72.0 + seed, taught=True) for seed in range(3)]
    listed["arms"].append(listed["arms"][1] | {"arm": "again", "label": "again", "teacher": "t2", "trials": again})
    listed["teachers"].append(listed["teachers"][0] | {"key": "t2", "run": "teachers/t2"})
    (folder / "study.json").write_text(json.dumps(listed))
    weights = {"t1": "/weights/large.pth", "t2": None}
    for key, file in weights.items():
        fake.write_run(folder / "teachers" / key, [fake.arm_record("gen_01", 80.0)], config={"teacher_weights": file})
    trained = (("scratch", "soft", "r34", 0.1), ("kd", "kd", "r56", 0), ("again", "kd", "r9", 0))
    for arm, method, network, smoothing in trained:
        told = {
            "method": {"name": method, "label_smoothing": smoothing},
            "networks": [{"name": network}, {"name": "s"}],
        }
        (folder / "runs" / arm / "seed-0" / "config.yaml").write_text(json.dumps(told | {"teacher_weights": None}))
    sheet = settings_sheet(read_study_facts(folder))
    assert sheet is not None
    assert sheet.heads == ("field", "scratch", "KD", "again")
    assert {row[0].shown: tuple(cell.shown for cell in row[1:]) for row in sheet.rows} == {
        "method.label_smoothing": ("0.1", "0", "0"),
        "networks.0.name": ("–", "r56", "r9"),
        "teacher_weights": ("–", "large.pth", "–"),
    }


def test_markdown_is_ready_to_commit(grid: Path) -> None:
    told = study_markdown(read_study_facts(grid))
    assert told.startswith("# Does distillation help?\n")
    assert "| KD, T 20, α 0.9 | scratch | better | 3 |" in told
    assert "Command: `python tools/study.py --study 'kd vs scratch'`" in told
    for line in told.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


@pytest.mark.parametrize(
    ("written", "named"),
    [("{", "not valid JSON"), ('{"schema": 7}', "schema 7"), (None, "holds no study")],
)
def test_what_is_no_study_is_refused(tmp_path: Path, written: str | None, named: str) -> None:
    if written is not None:
        (tmp_path / "study.json").write_text(written)
    with pytest.raises(RequestError, match=named):
        write_study_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
