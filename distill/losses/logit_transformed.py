"""Matching a teacher that is transformed while the student is not.

Shapes: B images, K classes.
"""

from __future__ import annotations

from torch import Tensor

from densedistill.distill.losses.checks import check_logit_pair, check_temperature
from densedistill.distill.losses.distributions import divergence
from densedistill.distill.losses.precision import widened


def wttm_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Weighted transformed teacher matching: U(p) KL(p_T ‖ q), mean over the batch.

    Zheng and Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024, equation 23. p and q
    are the teacher's and the student's probabilities at temperature 1, p_T the teacher's at T. A temperature is a
    power transform, p_T ∝ p^(1/T), and U(p) = Σ p^(1/T) (equation 22) is its normaliser: between 1 for a one-hot p
    and K^(1 - 1/T) for a uniform one, it gives images of which the teacher is unsure the larger weight. There is
    no factor T².

    Args:
        student_logits: (B, K), K >= 2.
        teacher_logits: (B, K); constants.
        temperature: T > 0, dimensionless. The paper tunes T and the weight for each pair (its appendix A.4).

    Returns:
        Scalar >= 0, nats times U.

    Raises:
        RequestError: T is not above 0, fewer than two classes, or shapes that differ.
    """
    check_temperature(temperature)
    check_logit_pair(student_logits, teacher_logits)
    powers_BK = widened(teacher_logits).detach().log_softmax(dim=1) / temperature
    log_weight_B = powers_BK.logsumexp(dim=1)
    log_student_BK = widened(student_logits).log_softmax(dim=1)
    return (log_weight_B.exp() * divergence(powers_BK - log_weight_B[:, None], log_student_BK)).mean()
