"""Losses on features as terms of an objective: which tap each of them reads, of either network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.features.sources import Feature
from densedistill.distill.losses.feature_heads import LogitHead
from densedistill.distill.losses.logit_terms import OnLogits
from densedistill.distill.losses.terms import TermFunction
from densedistill.distill.outputs import Prediction, StepOutputs

Pair = tuple[Feature, Feature]
"""(student's, teacher's)."""


class OnFeatures(nn.Module):
    """Losses of pairs of features, added up. Needs the teacher."""

    def __init__(self, pairs: Sequence[Pair], losses: Sequence[Callable[[Tensor, Tensor], Tensor]]) -> None:
        """Take a loss (student's feature, teacher's feature) -> scalar for each pair; modules are owned.

        Raises:
            RequestError: no pair, or not one loss for each.
        """
        super().__init__()
        if not pairs or len(pairs) != len(losses):
            raise RequestError(f"{len(losses)} losses came for {len(pairs)} pairs of features: give one for each")
        self.pairs, self.losses = tuple(pairs), tuple(losses)
        self.owned = nn.ModuleList(loss for loss in losses if isinstance(loss, nn.Module))

    def forward(self, outputs: StepOutputs) -> Tensor:
        """The sum of the pairs' losses."""
        taught = outputs.taught()
        values = [
            loss(mine.read(outputs.student), theirs.read(taught).detach())
            for loss, (mine, theirs) in zip(self.losses, self.pairs, strict=True)
        ]
        return torch.stack(values).sum()


class OnStages(nn.Module):
    """A module that reads all stages at once, each network's in a list from shallow to deep. Needs the teacher."""

    def __init__(self, pairs: Sequence[Pair], module: nn.Module) -> None:
        super().__init__()
        self.pairs, self.module = tuple(pairs), module

    def forward(self, outputs: StepOutputs) -> Tensor:
        """The module's loss."""
        taught = outputs.taught()
        loss: Tensor = self.module(
            [mine.read(outputs.student) for mine, _theirs in self.pairs],
            [theirs.read(taught).detach() for _mine, theirs in self.pairs],
        )
        return loss


class OnImages(nn.Module):
    """A module that knows the training images by their numbers. Needs the teacher."""

    def __init__(self, pair: Pair, module: nn.Module) -> None:
        super().__init__()
        self.pair, self.module = pair, module

    def forward(self, outputs: StepOutputs) -> Tensor:
        """The module's loss."""
        mine, theirs = self.pair
        loss: Tensor = self.module(
            mine.read(outputs.student), theirs.read(outputs.taught()).detach(), outputs.batch["index"]
        )
        return loss


class ReadAs(nn.Module):
    """A term that looks features up by their taps, given them in the one layout that losses read. Needs the teacher."""

    def __init__(self, pairs: Sequence[Pair], term: TermFunction) -> None:
        super().__init__()
        self.pairs, self.term = tuple(pairs), term

    def forward(self, outputs: StepOutputs) -> Tensor:
        """The term's loss."""
        student, teacher = self._read(outputs.student, 0), self._read(outputs.taught(), 1)
        return self.term(dataclasses.replace(outputs, student=student, teacher=teacher))

    def _read(self, prediction: Prediction, side: Literal[0, 1]) -> Prediction:
        taps = {pair[side].path: pair[side].read(prediction) for pair in self.pairs}
        return Prediction(output=prediction.output, taps=taps)


class OnHeads(nn.Module):
    """A loss of logits, applied to those of a head on each of the student's stages, added up. Needs the teacher."""

    def __init__(self, features: Sequence[Feature], heads: Sequence[LogitHead], loss: OnLogits) -> None:
        """Take a head for each feature.

        Raises:
            RequestError: no feature, or not one head for each.
        """
        super().__init__()
        if not features or len(features) != len(heads):
            raise RequestError(f"{len(heads)} heads came for {len(features)} features: give one for each")
        self.features, self.heads, self.loss = tuple(features), nn.ModuleList(heads), loss

    def forward(self, outputs: StepOutputs) -> Tensor:
        """The sum of the heads' losses."""
        losses = []
        for head, feature in zip(self.heads, self.features, strict=True):
            answer = Prediction(output=head(feature.read(outputs.student)), taps={})
            losses.append(self.loss(dataclasses.replace(outputs, student=answer)))
        return torch.stack(losses).sum()
