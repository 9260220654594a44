"""The teacher cache in a run: what it saves, what it must not change, and how it survives."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from densedistill.distill.errors import InterruptedRunError, RequestError
from densedistill.distill.outputs import Prediction
from densedistill.distill.progress import SilentLog
from densedistill.distill.teacher import Teacher

STEPS = 6
BATCH = 8


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the whole batches that teachers answer; smaller ones are probes."""
    sizes: list[int] = []
    ask = Teacher.__call__

    def asking(teacher: Teacher, batch: Any) -> Prediction:
        if len(batch["input"]) == BATCH:
            sizes.append(BATCH)
        return ask(teacher, batch)

    monkeypatch.setattr(Teacher, "__call__", asking)
    return sizes


def _settings(epochs: int, views: int | None, root: Path | None = None) -> dict[str, object]:
    return {
        "recipe.epochs": epochs,
        "teacher_cache": views,
        "teacher_cache_root": None if root is None else str(root),
        "controls": [],
        # Adam's first steps have the size of the rate whatever the gradient's is: it would blow rounding up.
        "recipe.optimizer": "sgd",
        "recipe.learning_rate": 0.02,
    }


@pytest.mark.parametrize("kind", ["cls", "sr", "edges"])
def test_each_view_is_asked_once_and_learned_from_in_half_precision(
    tiny: ModuleType, tmp_path: Path, asked: list[int], kind: str
) -> None:
    """With as many views as epochs the run sees the views it would see anyway: only rounding tells the two apart."""
    spec = tiny.tiny_spec(kind)
    plain = tiny.tiny_chain(spec, tmp_path / "plain", _settings(4, None))
    plain.run()
    assert len(asked) == 4 * STEPS
    asked.clear()
    cached = tiny.tiny_chain(spec, tmp_path / "cached", _settings(4, 4))
    cached.run()
    assert len(asked) == 4 * STEPS, "nothing comes twice"
    ours, theirs = cached.network_of("gen_02").state_dict(), plain.network_of("gen_02").state_dict()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-2, atol=1e-3)
    asked.clear()
    tiny.tiny_chain(spec, tmp_path / "two", _settings(4, 2)).run()
    assert len(asked) == 2 * STEPS, "the third and fourth epoch repeat the first two"
    assert not (tmp_path / "two" / "teacher_cache").exists(), "kept until the run is complete"


def test_a_killed_run_goes_on_with_its_cache_to_the_same_weights(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny.tiny_spec("cls")
    settings = _settings(3, 1)
    tiny.tiny_chain(spec, tmp_path / "whole", settings).run()
    monkeypatch.setattr("densedistill.distill.lessons.checkpoint.SAVE_AFTER_SECONDS", 0.0)
    tiny.die_at(monkeypatch, 4, 9)
    for _ in range(2):
        with pytest.raises(InterruptedRunError):
            tiny.tiny_chain(spec, tmp_path / "killed", settings).run()
    tiny.tiny_chain(spec, tmp_path / "killed", settings).run()
    arm = "gen_02/model.safetensors"
    assert tiny.same_bytes(tmp_path / "whole" / arm, tmp_path / "killed" / arm)


class _Told(SilentLog):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str, level: str = "info") -> None:
        self.texts.append(text)


def test_a_cache_outlives_its_run_and_is_mended_or_made_anew(
    tiny: ModuleType, tmp_path: Path, asked: list[int]
) -> None:
    spec, root = tiny.tiny_spec("cls"), tmp_path / "kept"

    def run(name: str, **changes: object) -> tuple[list[str], int, bytes]:
        asked.clear()
        log = _Told()
        tiny.tiny_chain(spec, tmp_path / name, _settings(2, 1, root) | changes, log=log).run()
        return log.texts, len(asked), (tmp_path / name / "gen_02/model.safetensors").read_bytes()

    texts, passes, weights = run("first")
    assert passes == STEPS
    (told,) = [text for text in texts if text.startswith("teacher cache in")]
    assert "1 view of 48 images" in told
    second = run("second", **{"data.workers": 3})
    assert second[1:] == (0, weights), "the same teacher and views, however they are read: nothing is asked again"

    folder = root / "gen_01-to-gen_02"
    data = next(path for path in folder.iterdir() if path.stat().st_size == 48 * 4 * 2)
    kept = np.memmap(data, np.uint8, "r+")
    kept[:8] ^= 0xFF
    kept.flush()
    texts, passes, again = run("third")
    assert passes == 1, "the batch with the damaged answer"
    assert any("damaged" in text for text in texts)
    assert again == weights

    texts, passes, _ = run("fourth", seed=1)
    assert passes == STEPS
    assert any("deleted and made anew" in text and "seed" in text for text in texts)


def test_no_room_is_said_before_anything_is_trained(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from densedistill.distill.dry_run import preflight

    chain = tiny.tiny_chain(tiny.tiny_spec("sr"), tmp_path / "run", _settings(2, 1000))
    monkeypatch.setattr("densedistill.distill.cache.files._free_bytes", lambda _folder: 1_000_000)
    with pytest.raises(RequestError, match=r"1,000,000 are free"):
        preflight(chain.parts)
    assert not (tmp_path / "run").exists()


def test_the_teachers_own_training_and_scratch(tiny: ModuleType, tmp_path: Path) -> None:
    """Generation 1 sees ever new views; the student and its control see the same few."""
    chain = tiny.tiny_chain(tiny.tiny_spec("cls"), tmp_path, {"recipe.epochs": 3, "teacher_cache": 1})
    seen = chain.data.train.asked
    chain.run()
    views = [{view for _images, step in seen[part : part + 3 * STEPS] for view in step} for part in (0, 18, 36)]
    assert views == [{0, 1, 2}, {0}, {0}]
    record = json.loads((tmp_path / "gen_02" / "arm.json").read_text())
    assert record["speed"]["teacher"]["shortcuts"]
