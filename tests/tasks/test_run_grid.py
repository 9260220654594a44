"""A fixed grid with a teacher cache: every pixel is answered once, in the first epoch, and known in size beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from densedistill.distill.progress import Level, SilentLog
from densedistill.distill.teacher import Teacher
from densedistill.tasks import run

SMALL: Mapping[str, Mapping[str, object]] = {
    "edges": {
        "networks": [
            {"name": "smp/unet-mobilenet_v2", "arguments": {"encoder_depth": 3, "decoder_channels": [8, 8, 8]}},
            {"name": "smp/unet-mobilenet_v2", "arguments": {"encoder_depth": 3, "decoder_channels": [8, 8, 8]}},
        ],
        "data.collages": [4, 1, 1],
        "data.collage_size": 64,
        "data.size": 32,
    },
    "sr": {
        "networks": [
            {"name": "attention-sr", "arguments": {"width": 8, "blocks": 1}, "taps": ["body_end"]},
            {"name": "attention-sr", "arguments": {"width": 4, "blocks": 1}, "taps": ["body_end"]},
        ],
        "data.limit": 1,
        "data.hr_patch": 128,
    },
}
PATCHES = {"edges": 4 * 2 * 2, "sr": 3 * 4}
"""Of four collages; of one photograph."""
BYTES = {"edges": 2 * 32 * 32, "sr": 2 * (3 * 128 * 128 + 8 * 32 * 32)}
"""Of one answer in float16: a map; an image and the features that are matched."""


class Told(SilentLog):
    """Keeps what the run says."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str, level: Level = "info") -> None:
        self.messages.append(text)


@pytest.mark.parametrize("task", ["edges", "sr"])
def test_the_teacher_answers_each_patch_once(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered: list[int] = []
    asked = Teacher.__call__

    def counted(self: Teacher, batch: Mapping[str, object]) -> object:
        answered.append(len(batch["index"]))  # type: ignore[arg-type]
        return asked(self, batch)  # type: ignore[arg-type]

    told = Told()
    settings = {**SMALL[task], "data.view": "grid", "recipe.views_per_epoch": None, "method.perceptual_weight": 0}
    if task == "edges":
        del settings["method.perceptual_weight"]
    monkeypatch.setattr(Teacher, "__call__", counted)
    result = run(
        task,
        controls=[],
        epochs=3,
        batch_size=4,
        settings=settings,
        teacher_cache=1,
        pretrained="none",
        device="cpu",
        precision="fp32",
        track=[],
        out=tmp_path / "run",
        log=told,
    )
    patches = result.summary["data"]["train"]
    assert patches == PATCHES[task]
    # Batches of training are of four; the few before them are probes of other sizes.
    assert answered.count(4) * 4 == patches
    size = next(text for text in told.messages if text.startswith("teacher cache in"))
    assert f"for 1 view of {patches:,} images" in size
    assert f"{(BYTES[task] + 4) / 1000:,.1f} kB each" in size
