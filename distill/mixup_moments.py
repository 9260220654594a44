"""What Mixup does to a distillation gradient if logits mix as pixels do: expectation and variance over its λ.

Reference 000 (sections 4.1 and 7.1) takes the logits of λ x_a + (1 - λ) x_b for λ z_a + (1 - λ) z_b, supposes that this
raises the variance of DKD's non-target gradient, and leaves the derivation to do. It follows here.

Let d = z_student - z_teacher, and A_y the linear map from differences to the gradient for label y
(`linear_nckd_gradient`). A mixed label weighs the gradients of both labels, and d(λ) = λ d_a + (1 - λ) d_b, so

    g(λ) = λ A_a d(λ) + (1 - λ) A_b d(λ) = λ² P + λ(1 - λ) Q + (1 - λ)² R,
    P = A_a d_a,  Q = A_a d_b + A_b d_a,  R = A_b d_b,

a polynomial whose moments under λ ~ Beta(c, c) are ratios of Beta functions: E[g] and Var[g] are exact. Where the
label's own class is a small part of the gradient, A_a = A_b = A, and g(λ) = λ A d_a + (1 - λ) A d_b is a mean of two
images' gradients: for independent images its variance is that of one image times

    E[λ² + (1 - λ)²] = (c + 1) / (2c + 1),

at most 1, and 0.69 for the reference's c of 0.8. Under the reference's own assumption Mixup makes the gradient *less*
variable. What networks do to mixed pixels is another matter, which `mixup_gradients.py` measures.

Shapes: B pairs of images, K classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from densedistill.distill.errors import RequestError


def check_concentration(concentration: float) -> None:
    """Raise `RequestError` unless the parameter of Beta(c, c) is finite and above 0."""
    if not (math.isfinite(concentration) and concentration > 0):
        raise RequestError(
            f"concentration {concentration} is no parameter of Beta(c, c): give a number above 0, as 0.8"
        )


def beta_moment(concentration: float, first: int, second: int) -> float:
    """E[λ^first (1 - λ)^second] for λ ~ Beta(c, c): B(c + first, c + second) / B(c, c).

    Raises:
        RequestError: a concentration that is not above 0.
    """
    check_concentration(concentration)

    def log_beta(left: float, right: float) -> float:
        return math.lgamma(left) + math.lgamma(right) - math.lgamma(left + right)

    shifted = log_beta(concentration + first, concentration + second)
    return math.exp(shifted - log_beta(concentration, concentration))


def variance_factor(concentration: float) -> float:
    """E[λ² + (1 - λ)²] = (c + 1) / (2c + 1): what mixing independent images leaves of their gradients' variance."""
    check_concentration(concentration)
    return (concentration + 1) / (2 * concentration + 1)


def quadratic_moments(first: Tensor, cross: Tensor, last: Tensor, concentration: float) -> tuple[Tensor, Tensor]:
    """E and Var over λ ~ Beta(c, c) of λ² P + λ(1 - λ) Q + (1 - λ)² R, element by element.

    Args:
        first: P, of any shape.
        cross: Q, the same shape.
        last: R, the same shape.
        concentration: c > 0; Mixup's usual values are 0.2 to 1.

    Returns:
        Expectation and variance, of that shape.

    Raises:
        RequestError: a concentration that is not above 0.
    """

    def moment(left: int, right: int) -> float:
        return beta_moment(concentration, left, right)

    mean = moment(2, 0) * (first + last) + moment(1, 1) * cross
    square = moment(4, 0) * (first.square() + last.square()) + 2 * moment(3, 1) * cross * (first + last)
    square = square + moment(2, 2) * (cross.square() + 2 * first * last)
    return mean, (square - mean.square()).clamp_min(0)


def quadrature(concentration: float, nodes: int = 32) -> tuple[Tensor, Tensor]:
    """Nodes in (0, 1) and weights that add up to 1, for expectations over Beta(c, c) (Gauss-Jacobi), float64.

    Exact for polynomials in λ below degree 2 · nodes; gradients of a softmax are smooth in λ and nearly so.

    Raises:
        RequestError: a concentration that is not above 0.
    """
    from scipy.special import roots_jacobi

    check_concentration(concentration)
    places, weights = roots_jacobi(nodes, concentration - 1, concentration - 1)
    return torch.from_numpy((places + 1) / 2), torch.from_numpy(weights / weights.sum())
