"""How variable a distillation gradient is under Mixup: measured on networks, beside what superposed logits would give.

Reference 000 explains the collapse of DKD by the variance that Mixup adds to NCKD's gradient. Three figures tell how
far that goes: the gradient at logits of pixels that are really mixed; the gradient at superposed logits, exact in the
softmax; and its closed form to first order (`mixup_moments.py`). Each is split into the variance between pairs of
images and that within a pair, over λ.

Shapes: B images, K classes, D draws of λ for each pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses.logit_gradients import (
    kd_gradient,
    label_gradient,
    linear_kd_gradient,
    linear_nckd_gradient,
    nckd_gradient,
)
from densedistill.distill.machine.generator import seeded
from densedistill.distill.mixup_moments import check_concentration, quadratic_moments, quadrature

Network = Callable[[Tensor], Tensor]
Loss = Literal["nckd", "kd"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """The trace of a gradient's covariance, in two parts."""

    within: float
    """Over λ, mean over pairs."""
    between: float
    """Over pairs, of their expectations over λ."""

    @property
    def total(self) -> float:
        """Over pairs and λ."""
        return self.within + self.between


@dataclass(frozen=True, kw_only=True, slots=True)
class LossSpread:
    """One loss's gradient with respect to the student's logits."""

    plain: float
    """Trace of its covariance over images that are not mixed."""
    measured: Spread
    """On mixed pixels."""
    superposed: Spread
    """Were logits mixed as pixels are."""
    closed_form: Spread
    """The same, to first order in logits / T."""
    linear_plain: float
    """`plain` to first order, which `closed_form` is to be compared with."""
    label_cosine: tuple[float, float]
    """Mean cosine with the gradient of cross-entropy, on plain and on mixed images: below 0 the two conflict."""

    @property
    def change(self) -> float:
        """Measured variance as a multiple of the plain one."""
        return self.measured.total / self.plain


@dataclass(frozen=True, kw_only=True, slots=True)
class MixupSpread:
    """What Mixup does to both losses on one batch."""

    images: int
    draws: int
    concentration: float
    temperature: float
    nckd: LossSpread
    kd: LossSpread


@dataclass(frozen=True, kw_only=True, slots=True)
class _Logits:
    """Both networks' answers, (..., B, K)."""

    student: Tensor
    teacher: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pairs:
    """A batch, the batch it is mixed with, and Mixup's settings."""

    plain: _Logits
    partner: _Logits
    target: Tensor
    other: Tensor
    concentration: float
    temperature: float

    def gradient(self, loss: Loss, logits: _Logits, mix: Tensor | None) -> Tensor:
        """(B, K), at `logits` of images that hold `mix` of their own."""
        if loss == "kd":
            return kd_gradient(logits.student, logits.teacher, self.temperature)
        labels = (None, None) if mix is None else (self.other, mix)
        return nckd_gradient(logits.student, logits.teacher, self.target, self.temperature, *labels)

    def linear(self, loss: Loss, logits: _Logits, labels: Tensor) -> Tensor:
        """(B, K), to first order."""
        difference = logits.student - logits.teacher
        return linear_kd_gradient(difference) if loss == "kd" else linear_nckd_gradient(difference, labels)

    def superposed(self, share: Tensor) -> _Logits:
        """Logits at λ = `share`, a scalar, if they mix as pixels do."""
        return _Logits(
            student=share * self.plain.student + (1 - share) * self.partner.student,
            teacher=share * self.plain.teacher + (1 - share) * self.partner.teacher,
        )


@torch.no_grad()
def measure_mixup(
    student: Network,
    teacher: Network,
    images: Tensor,
    target: Tensor,
    *,
    concentration: float = 0.8,
    temperature: float = 4.0,
    draws: int = 8,
    seed: int = 0,
) -> MixupSpread:
    """The gradients' variance on a batch and on its Mixup with itself, another image for each.

    Args:
        student: from images (B, C, H, W) to logits (B, K), in evaluation mode.
        teacher: the same.
        images: (B, C, H, W), normalised, on the networks' device; B of 3 or more, hundreds for figures worth having.
        target: (B,) int64.
        concentration: c of λ ~ Beta(c, c).
        temperature: T > 0, dimensionless.
        draws: values of λ for each pair, 2 or more.
        seed: of pairs and λ.

    Raises:
        RequestError: a setting out of range, too few images, or fewer than three classes.
    """
    check_concentration(concentration)
    if draws < 2 or len(images) < 3:
        raise RequestError(
            f"{draws} draws of {len(images)} images show no variance: give 2 draws or more and 3 images or more"
        )
    partner, mix_DB = _drawn(len(images), draws, concentration, seed)

    def asked(pixels: Tensor) -> _Logits:
        return _Logits(student=student(pixels).double().cpu(), teacher=teacher(pixels).double().cpu())

    plain, own = asked(images), target.cpu()
    pairs = _Pairs(
        plain=plain,
        partner=_Logits(student=plain.student[partner], teacher=plain.teacher[partner]),
        target=own,
        other=own[partner],
        concentration=concentration,
        temperature=temperature,
    )
    others = images[partner.to(images.device)]
    mixed = [asked(_mixed(images, others, mix_B)) for mix_B in mix_DB]
    return MixupSpread(
        images=len(images),
        draws=draws,
        concentration=concentration,
        temperature=temperature,
        nckd=_loss_spread("nckd", pairs, mixed, mix_DB),
        kd=_loss_spread("kd", pairs, mixed, mix_DB),
    )


def _drawn(images: int, draws: int, concentration: float, seed: int) -> tuple[Tensor, Tensor]:
    """Each image's partner (B,), and λ (D, B). The global generator stays where it is."""
    with seeded(seed):
        order = torch.randperm(images)
        mix_DB = torch.distributions.Beta(concentration, concentration).sample((draws, images))
    # A cycle through a random order: every image meets another one, and none itself.
    return torch.empty_like(order).scatter(0, order, order.roll(1)), mix_DB.double()


def _mixed(images: Tensor, others: Tensor, mix_B: Tensor) -> Tensor:
    share = mix_B.to(device=images.device, dtype=images.dtype)[:, None, None, None]
    return share * images + (1 - share) * others


def _loss_spread(loss: Loss, pairs: _Pairs, mixed: list[_Logits], mix_DB: Tensor) -> LossSpread:
    plain = pairs.gradient(loss, pairs.plain, None)
    measured = torch.stack([pairs.gradient(loss, logits, mix) for logits, mix in zip(mixed, mix_DB, strict=True)])
    labels = label_gradient(pairs.plain.student, pairs.target)
    with_mixed = [
        label_gradient(logits.student, pairs.target, pairs.other, mix)
        for logits, mix in zip(mixed, mix_DB, strict=True)
    ]
    return LossSpread(
        plain=_trace(plain),
        measured=sampled_spread(measured),
        superposed=_superposed(loss, pairs),
        closed_form=_closed_form(loss, pairs),
        linear_plain=_trace(pairs.linear(loss, pairs.plain, pairs.target)),
        label_cosine=(
            float(F.cosine_similarity(plain, labels, dim=1).mean()),
            float(F.cosine_similarity(measured, torch.stack(with_mixed), dim=2).mean()),
        ),
    )


def sampled_spread(gradients_DBK: Tensor) -> Spread:
    """Both parts of the variance from D draws of B pairs, without bias (one-way analysis of variance)."""
    within = float(gradients_DBK.var(dim=0).sum(dim=1).mean())
    return Spread(within=within, between=_trace(gradients_DBK.mean(dim=0)) - within / len(gradients_DBK))


def _superposed(loss: Loss, pairs: _Pairs) -> Spread:
    nodes, weights = quadrature(pairs.concentration)
    values = [
        pairs.gradient(loss, pairs.superposed(share), share.expand(len(pairs.target)).to(pairs.target.device))
        for share in nodes
    ]
    stacked, weighing = torch.stack(values), weights[:, None, None]
    mean_BK = (weighing * stacked).sum(dim=0)
    variance_BK = (weighing * (stacked - mean_BK).square()).sum(dim=0)
    return Spread(within=float(variance_BK.sum(dim=1).mean()), between=_trace(mean_BK))


def _closed_form(loss: Loss, pairs: _Pairs) -> Spread:
    first = pairs.linear(loss, pairs.plain, pairs.target)
    cross = pairs.linear(loss, pairs.partner, pairs.target) + pairs.linear(loss, pairs.plain, pairs.other)
    last = pairs.linear(loss, pairs.partner, pairs.other)
    mean_BK, variance_BK = quadratic_moments(first, cross, last, pairs.concentration)
    return Spread(within=float(variance_BK.sum(dim=1).mean()), between=_trace(mean_BK))


def _trace(gradients_NK: Tensor) -> float:
    """The trace of the covariance over N, without bias."""
    return float(gradients_NK.var(dim=0).sum())
