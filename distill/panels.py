"""Sample panels: the same few test images through every arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from densedistill.distill.chain import Chain
from densedistill.distill.data import TaskData
from densedistill.distill.files import replacing, write_json
from densedistill.distill.prediction.bounded import bounded
from densedistill.distill.spec import PanelCell, single

SAMPLES = 4


def write_panels(chain: Chain) -> None:
    """Write `panels/panels.json` and its pictures for the finished arms of `chain`."""
    folder = chain.run_dir.panels
    samples = _samples(chain, chain.data)
    shown = chain.resolved.spec.panels
    rows: list[dict[str, Any]] = []
    for name, entries in samples.items():
        cells = {
            "input": _cell(folder, f"{name}_input", shown.picture(entries, chain.data)),
            "truth": _cell(folder, f"{name}_truth", shown.truth(entries, chain.data)),
        }
        rows.append({"id": name, "cells": cells})
    plans = [plan for plan in chain.plans if chain.run_dir.arm(plan.name).done]
    for plan in plans:
        data = chain.data_for(plan)
        seen = samples if data is chain.data else _samples(chain, data)
        finished = _predictions(chain, plan.name, seen)
        for row, prediction, entries in zip(rows, finished, seen.values(), strict=True):
            cell = shown.prediction(prediction, entries, data)
            row["cells"][plan.name] = _cell(folder, f"{row['id']}_{plan.name}", cell)
    columns = ["input", "truth", *(plan.name for plan in plans)]
    write_json(folder / "panels.json", {"columns": columns, "rows": rows})


def _samples(chain: Chain, data: TaskData) -> dict[str, Mapping[str, Tensor]]:
    """Test images at even distances, so that a set sorted by class shows several classes."""
    images = next(iter(data.tests.values()))
    count = len(images.ids)
    wanted = {round(place * (count - 1) / max(min(SAMPLES, count) - 1, 1)) for place in range(min(SAMPLES, count))}
    found: dict[str, Mapping[str, Tensor]] = {}
    for place, batch in enumerate(images.batches(1, device=chain.runtime.device)):
        if place in wanted:
            found[str(images.ids[place])] = single(batch, 0)
        if len(found) == len(wanted):
            break
    return found


@torch.inference_mode()
def _predictions(chain: Chain, arm: str, samples: Mapping[str, Mapping[str, Tensor]]) -> list[Tensor]:
    network = chain.network_of(arm)
    spec = chain.resolved.spec
    predict = bounded(spec)
    return [spec.finish(predict(network, entries["input"][None]).float())[0] for entries in samples.values()]


def _cell(folder: Path, stem: str, cell: PanelCell) -> dict[str, Any]:
    judged = {} if cell.correct is None else {"correct": cell.correct}
    if cell.image is None:
        return {"image": None, "caption": cell.caption, **judged}
    name = f"{stem}.png".replace("/", "_")
    with replacing(folder / name) as temporary:
        Image.fromarray(cell.image).save(temporary, format="PNG")
    return {"image": f"{folder.name}/{name}", "caption": cell.caption, **judged}
