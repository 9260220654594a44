"""Statistics against SciPy's and against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from densedistill.distill.errors import RequestError
from densedistill.distill.statistics import (
    bootstrap_interval,
    hedges_g,
    holm,
    paired_differences,
    paired_effect,
    paired_t,
    spread,
    welch_t,
)

ARM = [70.1, 71.0, 70.7, 70.4, 71.2]
CONTROL = [69.6, 69.9, 70.1, 69.5, 70.1]
PAIRS = [a - b for a, b in zip(ARM, CONTROL, strict=True)]


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_paired_test_is_scipy_s(count: int, level: float) -> None:
    ours = paired_t(PAIRS[:count], level)
    theirs = stats.ttest_rel(ARM[:count], CONTROL[:count])
    low, high = theirs.confidence_interval(level)
    assert ours is not None
    assert (ours.t, ours.p, ours.degrees) == pytest.approx((theirs.statistic, theirs.pvalue, theirs.df), rel=1e-9)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((low, high), rel=1e-9)


def test_the_paired_test_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, standard error 1/√3, t = 2√3; with 2 degrees of freedom p = 1 - t/√(t² + 2)."""
    found = paired_t([1.0, 2.0, 3.0])
    assert found is not None
    assert found.t == pytest.approx(2 * math.sqrt(3))
    assert found.p == pytest.approx(1 - math.sqrt(12 / 14))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_welch_s_test_is_scipy_s(level: float) -> None:
    ours = welch_t(ARM, CONTROL[:3], level)
    theirs = stats.ttest_ind(ARM, CONTROL[:3], equal_var=False)
    low, high = theirs.confidence_interval(level)
    assert ours is not None
    assert (ours.t, ours.p, ours.degrees) == pytest.approx((theirs.statistic, theirs.pvalue, theirs.df), rel=1e-9)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((low, high), rel=1e-9)


def test_welch_s_test_needs_one_sample_that_varies() -> None:
    assert welch_t([1.0, 1.0], [2.0, 2.0]) is None
    assert welch_t([1.0, 1.0], [2.0, 2.5]) is not None


@pytest.mark.parametrize("count", [5, 6, 12])
def test_the_percentile_interval_is_scipy_s(count: int) -> None:
    sample = np.random.default_rng(1).normal(1, 2, count)
    ours = bootstrap_interval(sample.tolist(), method="percentile")
    theirs = stats.bootstrap((sample,), np.mean, method="percentile", n_resamples=20_000, rng=3).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * sample.std())


@pytest.mark.parametrize("count", [5, 6, 12])
def test_the_bca_interval_is_scipy_s(count: int) -> None:
    sample = np.random.default_rng(2).exponential(2, count)
    ours = bootstrap_interval(sample.tolist())
    theirs = stats.bootstrap((sample,), np.mean, method="BCa", n_resamples=20_000, rng=3).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * sample.std())


def test_drawn_resamples_follow_the_seed() -> None:
    sample = np.random.default_rng(0).normal(size=20).tolist()
    assert bootstrap_interval(sample, seed=1) == bootstrap_interval(sample, seed=1)
    assert bootstrap_interval(sample, seed=1) != bootstrap_interval(sample, seed=2)


def test_few_figures_are_enumerated_so_that_no_seed_matters() -> None:
    assert bootstrap_interval(PAIRS, seed=1) == bootstrap_interval(PAIRS, seed=2)


def test_two_figures_by_hand() -> None:
    """Resampled means of 0 and 1 are 0, ½, ½ and 1: their 2.5 % quantile is linear between 0 and ½."""
    interval = bootstrap_interval([0.0, 1.0], method="percentile")
    assert (interval.low, interval.high) == pytest.approx((0.5 * 0.075, 1 - 0.5 * 0.075))


def test_equal_figures_have_no_width() -> None:
    interval = bootstrap_interval([2.0, 2.0, 2.0])
    assert (interval.low, interval.high) == (2.0, 2.0)


@pytest.mark.parametrize("sizes", [(2, 2), (3, 5), (5, 5)])
def test_hedges_g_is_the_textbook_s(sizes: tuple[int, int]) -> None:
    arm, control = ARM[: sizes[0]], CONTROL[: sizes[1]]
    freedom = sum(sizes) - 2
    pooled = ((sizes[0] - 1) * np.var(arm, ddof=1) + (sizes[1] - 1) * np.var(control, ddof=1)) / freedom
    factor = math.gamma(freedom / 2) / (math.sqrt(freedom / 2) * math.gamma((freedom - 1) / 2))
    assert hedges_g(arm, control) == pytest.approx(factor * (np.mean(arm) - np.mean(control)) / math.sqrt(pooled))


def test_the_small_sample_factor_is_about_its_approximation() -> None:
    big = hedges_g([1.0, 2.0] * 10, [0.0, 1.0] * 10)
    plain = 1 / np.std([1.0, 2.0] * 10, ddof=1)
    assert big == pytest.approx(plain * (1 - 3 / (4 * 38 - 1)), rel=1e-4)


def test_the_paired_effect_is_t_over_root_n() -> None:
    found = paired_t(PAIRS)
    assert found is not None
    assert paired_effect(PAIRS) == pytest.approx(found.t / math.sqrt(5))


def test_figures_that_do_not_vary_have_no_test_and_no_effect() -> None:
    same = [0.7 - 0.4, 0.8 - 0.5, 0.6 - 0.3]  # equal but for rounding
    assert len(set(same)) > 1
    assert paired_t(same) is None
    assert paired_effect(same) is None
    assert hedges_g([1.0, 1.0], [2.0, 2.0]) is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        p = generator.beta(0.3, 1, size=5)
        order, rejected = np.argsort(p), set()
        for rank, place in enumerate(order):
            if p[place] > 0.05 / (5 - rank):
                break
            rejected.add(int(place))
        assert {place for place, value in enumerate(holm(p.tolist())) if value <= 0.05} == rejected


def test_spread() -> None:
    assert spread([1.0, 2.0, 4.0]).std == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert spread([3.0]).std is None


def test_pairs_are_matched_by_seed() -> None:
    assert paired_differences({2: 5.0, 0: 3.0, 7: 1.0}, {0: 1.0, 2: 4.0}) == {0: 2.0, 2: 1.0}


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        (lambda: spread([]), "too few"),
        (lambda: spread([1.0, math.nan]), "nan"),
        (lambda: paired_t([1.0]), "too few"),
        (lambda: paired_t([1.0, 2.0], level=95), "95"),
        (lambda: bootstrap_interval([1.0, math.inf]), "inf"),
        (lambda: welch_t([1.0, 2.0], [1.0]), "too few"),
        (lambda: holm([1.2]), r"1\.2"),
    ],
)
def test_what_has_no_statistic_is_refused(refused: object, named: str) -> None:
    assert callable(refused)
    with pytest.raises(RequestError, match=named):
        refused()
