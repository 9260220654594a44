"""Contrast: a student's embedding of an image close to its teacher's of the same, far from those of others.

Shapes: B images, N negatives of each, M images in the training set, D dimensions of the embedding.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.alignment import seeded
from densedistill.distill.losses.checks import (
    check_at_least_one,
    check_channels,
    check_same_images,
    check_temperature,
)
from densedistill.distill.losses.negatives import Negatives
from densedistill.distill.losses.precision import widened, without_autocast
from densedistill.distill.losses.vectors import pooled, unit
from densedistill.distill.machine.collective import joined


def nce_loss(log_positive: Tensor, log_negatives: Tensor, images: int) -> Tensor:
    """Noise-contrastive estimation: -log h(positive) - Σ log(1 - h(negative)), h = p / (p + N / M), batch mean.

    The critic of Tian, Krishnan and Isola, "Contrastive Representation Distillation", ICLR 2020, section 3, with p
    the exponential of the scores given: h is the posterior that a pair is of one image when N pairs with uniform
    partners come with it.

    Args:
        log_positive: (B,), log p of each image's own pair.
        log_negatives: (B, N), log p of its pairs with other images.
        images: M, in the training set.

    Returns:
        Scalar >= 0, nats, summed over the negatives.

    Raises:
        RequestError: shapes that do not match, or M below 1.
    """
    if log_positive.ndim != 1 or log_negatives.ndim != 2 or len(log_positive) != len(log_negatives):
        raise RequestError(
            f"scores of shape {tuple(log_positive.shape)} and {tuple(log_negatives.shape)} are not (batch,) and "
            "(batch, negatives): give one positive and the negatives of each image"
        )
    check_at_least_one("a training set of", images)
    log_noise = math.log(log_negatives.shape[1] / images)
    positive_B = F.softplus(log_noise - widened(log_positive))
    return (positive_B + F.softplus(widened(log_negatives) - log_noise).sum(dim=1)).mean()


class ContrastiveDistillation(nn.Module):
    """CRD: `nce_loss` of both directions against banks that remember each image's embeddings.

    Tian, Krishnan and Isola 2020. Linear embeddings of both networks' features, at unit length, are compared by
    exp(cosine / τ) / Z: the student's with the bank of the teacher and the teacher's with that of the student. As
    in the authors' code Z is estimated on the first batch, so that p sums to about 1 over the training set, and
    afterwards an image's entry moves towards its new embedding. Embeddings are trained, the banks, Z and the count
    of draws are state, and take 8 M D bytes. Several processes share what they learn of the banks.

    Of the two networks' features the paper takes the pooled ones; maps and tokens are averaged. Weight 0.8 there.
    """

    student_bank: Tensor
    teacher_bank: Tensor
    log_normaliser: Tensor

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        images: int,
        *,
        classes: Tensor | None = None,
        embedding: int = 128,
        negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
        seed: int = 0,
    ) -> None:
        """Build embeddings and banks from a generator of their own.

        Args:
            student_channels: C of the student's feature.
            teacher_channels: C' of the teacher's.
            images: M, in the training set.
            classes: (M,) int64, each training image's class: negatives then come from other classes, as in the
                paper's tables. None: from all other images.
            embedding: D.
            negatives: N, drawn with replacement for each image and step.
            temperature: τ > 0, dimensionless.
            momentum: share of an entry that stays, in [0, 1).
            seed: gives weights, banks and draws.

        Raises:
            RequestError: a count below 1, a setting out of range, or an image without any negative.
        """
        super().__init__()
        for name, value in (
            ("student channels", student_channels),
            ("teacher channels", teacher_channels),
            ("embedding", embedding),
            ("negatives", negatives),
        ):
            check_at_least_one(name, value)
        check_temperature(temperature)
        if not 0 <= momentum < 1:
            raise RequestError(f"momentum {momentum} leaves no new embedding: give a number from 0 to below 1")
        self.student_channels, self.teacher_channels = student_channels, teacher_channels
        self.images, self.temperature, self.momentum = images, temperature, momentum
        self.negatives = Negatives(images, negatives, classes, seed)
        self.student_embedding = seeded(lambda: nn.Linear(student_channels, embedding), seed)
        self.teacher_embedding = seeded(lambda: nn.Linear(teacher_channels, embedding), seed + 1)
        generator, bound = torch.Generator().manual_seed(seed), math.sqrt(3 / embedding)
        for name in ("student_bank", "teacher_bank"):
            start = torch.rand(images, embedding, generator=generator)
            self.register_buffer(name, start.mul_(2 * bound).sub_(bound))
        self.register_buffer("log_normaliser", torch.full((2,), math.nan))

    def forward(self, student: Tensor, teacher: Tensor, index: Tensor) -> Tensor:
        """Scalar loss; in training mode it also updates the banks.

        Args:
            student: (B, C), or a map or tokens, which are averaged.
            teacher: (B, C'), or a map or tokens; a constant, though its embedding is trained.
            index: (B,) int64 in 0..M-1, each image's place in the training set.

        Raises:
            RequestError: other shapes or channels than promised.
        """
        mine, theirs = pooled(student), pooled(teacher).detach()
        check_same_images(mine, theirs)
        check_channels(mine, self.student_channels, "the student's")
        check_channels(theirs, self.teacher_channels, "the teacher's")
        if index.shape != mine.shape[:1]:
            raise RequestError(
                f"image numbers of shape {tuple(index.shape)} do not fit {len(mine)} images: give one for each"
            )
        with without_autocast(mine):
            student_BD = unit(self.student_embedding(mine))
            teacher_BD = unit(self.teacher_embedding(theirs))
            partners = self.negatives(index)
            loss = self._against(student_BD, self.teacher_bank, index, partners, 0)
            loss = loss + self._against(teacher_BD, self.student_bank, index, partners, 1)
        if self.training:
            self._remember(student_BD.detach(), teacher_BD.detach(), index)
        return loss

    def _against(self, anchors_BD: Tensor, bank_MD: Tensor, index: Tensor, partners: Tensor, side: int) -> Tensor:
        # All M scores at once: gathering N entries of D numbers for each image moves far more memory. From a
        # copy, because the bank changes before the backward pass.
        scores_BM = anchors_BD @ bank_MD.clone().to(anchors_BD.dtype).T / self.temperature
        positive, negative = scores_BM.gather(1, index[:, None]), scores_BM.gather(1, partners)
        normaliser = self._normaliser(torch.cat((positive, negative), dim=1).detach(), side)
        return nce_loss(positive.squeeze(1) - normaliser, negative - normaliser, self.images)

    @torch.no_grad()
    def _normaliser(self, scores: Tensor, side: int) -> Tensor:
        """log Z: M times the mean of the first batch's exponentials, of all processes."""
        known = self.log_normaliser[side]
        own = scores.flatten().logsumexp(dim=0, keepdim=True) - math.log(scores.numel())
        shares = _from_all(own) if self.training else own
        fresh = shares.logsumexp(dim=0) + math.log(self.images / len(shares))
        self.log_normaliser[side] = torch.where(known.isnan(), fresh.to(known.dtype), known)
        return self.log_normaliser[side].clone()

    @torch.no_grad()
    def _remember(self, student_BD: Tensor, teacher_BD: Tensor, index: Tensor) -> None:
        everyone = _from_all(index)
        for bank, embedding in ((self.student_bank, student_BD), (self.teacher_bank, teacher_BD)):
            rows = _from_all(embedding).to(bank.dtype)
            moved = self.momentum * bank[everyone] + (1 - self.momentum) * rows
            bank.index_copy_(0, everyone, unit(moved))


def _from_all(values: Tensor) -> Tensor:
    """The values of all processes, one after the other; each must have as many."""
    if not joined():
        return values
    parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, values.contiguous())
    return torch.cat(parts)
