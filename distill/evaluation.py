"""Scoring a network on a fixed set of images, in full precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from densedistill.distill.data import EvalSet
from densedistill.distill.fidelity import Scored
from densedistill.distill.metrics.base import Lengthy, Metric
from densedistill.distill.objective import Objective
from densedistill.distill.outputs import Prediction, StepOutputs
from densedistill.distill.prediction.bounded import bounded
from densedistill.distill.prediction.tiling import Network
from densedistill.distill.prediction.views import Views, averaged
from densedistill.distill.spec import TaskSpec


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a network reached on one set."""

    metrics: Mapping[str, float]
    """The task's metric first, its companions after it."""
    loss: float | None
    """Mean of the task's own loss (no teacher), or None where it was not asked for."""
    per_image: Mapping[str, Mapping[str, float]]
    """Figures by image name, where the metric has them."""
    said: Scored | None = None
    """The network's raw outputs with the targets, where they were to be kept."""


@torch.inference_mode()
def evaluate(
    network: Callable[[Tensor], Tensor],
    images: EvalSet,
    *,
    spec: TaskSpec,
    metric: Metric,
    benchmark: Metric | None = None,
    device: torch.device,
    batch_size: int,
    objective: Objective | None = None,
    views: Views | None = None,
    keep: bool = False,
    heed: Callable[[], None] | None = None,
) -> Evaluation:
    """Score `network` on `images` with a fresh `metric`.

    A network, or any function from input to raw output. Runs in float32 whatever the training precision, so that a
    figure does not depend on the machine's bf16. `keep` keeps the raw outputs that are scores of whole images, (B, K):
    maps are large, and of unlike sizes. With `views`, the metric reads the mean
    of the finished predictions for several views of each input; there is then no loss, and no output to keep.
    Whole images are predicted in bounded memory: large ones in tiles, many in parts of their batch.
    `benchmark` reads what `metric` reads, and its figures follow the metric's. `heed` is called before each prediction
    and while figures that take long are computed: what it raises ends the evaluation.
    """
    if isinstance(network, nn.Module):
        network.eval()
    losses: list[torch.Tensor] = []
    sizes: list[int] = []
    kept: list[tuple[Tensor, Tensor]] = []
    predict = bounded(spec if heed is None else _heeding(spec, heed))
    asked = [metric] if benchmark is None else [metric, benchmark]
    for figures in asked:
        if heed is not None and isinstance(figures, Lengthy):
            figures.heeding(heed)
    for batch in images.batches(batch_size, device=device):
        if views is not None:
            finished = averaged(network, batch["input"], views, predict, spec.finish)
        else:
            raw = predict(network, batch["input"]).float()
            finished = spec.finish(raw)
        for figures in asked:
            figures.update(finished, batch)
        if views is not None:
            continue
        if keep and raw.ndim == 2:
            kept.append((raw.cpu(), batch["target"].cpu()))
        if objective is not None:
            outputs = StepOutputs(batch=batch, student=Prediction(output=raw, taps={}))
            losses.append(objective.total(objective(outputs)))
            sizes.append(len(raw))
    loss = None
    if losses:
        weights = torch.tensor(sizes, dtype=torch.float32, device=device)
        loss = float((torch.stack(losses) * weights).sum() / weights.sum())
    return Evaluation(
        metrics={name: value for figures in asked for name, value in figures.compute().items()},
        loss=loss,
        per_image=_by_image(images.ids, [figures.per_image() for figures in asked]),
        said=Scored(*(torch.cat(parts) for parts in zip(*kept, strict=True))) if kept else None,
    )


def _heeding(spec: TaskSpec, heed: Callable[[], None]) -> TaskSpec:
    """`spec` with `heed` called before each prediction: those of parts and tiles too, which are bounded in time."""

    def predict(network: Network, images: Tensor) -> Tensor:
        heed()
        return spec.predict(network, images)

    return dataclasses.replace(spec, predict=predict)


def _by_image(names: Sequence[str], tables: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """The figures of every metric that has some for single images, by image."""
    rows = zip(*(table for table in tables if table), strict=True)
    return {
        name: {key: value for part in row for key, value in part.items()}
        for name, row in zip(names, rows, strict=False)
    }
