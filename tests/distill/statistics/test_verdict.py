"""The verdict: its words, and that it claims nothing the figures do not support."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from densedistill.distill.statistics import Verdict, compare, gain_name, give_verdict, with_gains

SCRATCH = {0: 69.6, 1: 69.9, 2: 70.1, 3: 69.5, 4: 70.1}


def judged(arm: dict[int, float], control: dict[int, float], *, higher: bool = True, unit: str = "%") -> Verdict:
    return give_verdict(compare({"kd": arm, "scratch": control}, [("kd", "scratch")])[0], unit, higher_is_better=higher)


def moved(by: float, jitter: tuple[float, ...] = (-0.3, 0.3, -0.2, 0.1, 0.1)) -> dict[int, float]:
    return {seed: SCRATCH[seed] + by + jitter[seed] for seed in SCRATCH}


def test_a_clear_gain() -> None:
    verdict = judged(moved(0.8), SCRATCH)
    p = stats.ttest_rel(list(moved(0.8).values()), list(SCRATCH.values())).pvalue
    assert verdict.outcome == "better"
    assert verdict.text == f"+0.80 ± 0.24 points over scratch, 5 seeds, p = {p:.3f}"


def test_a_clear_loss() -> None:
    verdict = judged(moved(-0.8), SCRATCH)
    assert verdict.outcome == "worse"
    assert verdict.text.startswith("worse: −0.80 ± 0.24 points against scratch, 5 seeds")


def test_lower_may_be_better() -> None:
    assert judged(moved(-0.8), SCRATCH, higher=False).outcome == "better"
    assert judged(moved(0.8), SCRATCH, higher=False).outcome == "worse"


def test_no_difference_shown_names_the_interval() -> None:
    verdict = judged(moved(0.1), SCRATCH)
    low, high = stats.ttest_rel(list(moved(0.1).values()), list(SCRATCH.values())).confidence_interval(0.95)
    assert verdict.outcome == "none"
    assert verdict.text.startswith("no difference shown: +0.10 ± 0.24 points over scratch, 5 seeds, p = 0.41")
    assert f"interval −{-low:.2f} to +{high:.2f} points" in verdict.text


def test_one_seed_has_no_test() -> None:
    verdict = judged({0: 71.0}, {0: 70.0})
    assert verdict == Verdict(outcome="untested", text="no test is computed: one seed (+1.00 points over scratch)")


def test_seeds_that_change_nothing_are_no_sample() -> None:
    verdict = judged({seed: value + 1 for seed, value in SCRATCH.items()}, SCRATCH)
    assert verdict.outcome == "untested"
    assert "the same for every seed" in verdict.text


def test_a_lacking_arm_is_named() -> None:
    assert judged({}, SCRATCH).text == "not compared with scratch: kd has no result"
    assert judged(SCRATCH, {}).text == "not compared with scratch: scratch has no result"


def test_seeds_without_a_partner_are_said() -> None:
    arm = moved(0.8)
    del arm[4]
    assert "4 seeds (1 more without a pair)" in judged(arm, SCRATCH).text


def test_arms_that_share_no_seed_are_judged_by_welch_s_test() -> None:
    other = {seed + 10: value for seed, value in moved(0.8).items()}
    verdict = judged(other, SCRATCH)
    p = stats.ttest_ind(list(other.values()), list(SCRATCH.values()), equal_var=False).pvalue
    assert verdict.text.endswith(f"5 and 5 seeds, unpaired, p = {p:.3f}")


def test_a_metric_without_a_unit() -> None:
    verdict = judged({0: 0.71, 1: 0.72, 2: 0.725}, {0: 0.70, 1: 0.7085, 2: 0.7145}, unit="")
    assert verdict.text.startswith("+0.0107 ± 0.0008 over scratch, 3 seeds")


def test_several_tests_are_corrected_and_said() -> None:
    figures = {"a": moved(0.35), "b": moved(0.0, (0.4, -0.4, 0.2, -0.1, 0.1)), "scratch": SCRATCH}
    alone = compare(figures, [("a", "scratch")])[0]
    among = compare(figures, [("a", "scratch"), ("b", "scratch"), ("b", "a")])[0]
    assert alone.paired is not None
    assert alone.p_adjusted == pytest.approx(alone.paired.p)
    assert among.p_adjusted == pytest.approx(3 * alone.paired.p)
    assert give_verdict(alone, "%", higher_is_better=True).outcome == "better"
    corrected = give_verdict(among, "%", higher_is_better=True)
    assert corrected.outcome == "none"
    assert "(Holm, 3 tests)" in corrected.text
    assert corrected.text.endswith("before correcting for 3 tests")


STRONG = ("strong dkd", "strong kd")
WEAK = ("weak dkd", "weak kd")
FACTORS = {
    "strong dkd": {0: 27.0, 1: 26.0, 2: 28.0},
    "strong kd": {0: 37.0, 1: 38.0, 2: 40.0},
    "weak dkd": {0: 31.0, 1: 30.0, 2: 32.0},
    "weak kd": {0: 44.0, 1: 45.0, 2: 47.0},
}


def test_a_contrast_by_hand() -> None:
    """Gains -10, -12, -12 and -13, -15, -15 leave 3 for every seed; with one of them 2 more: 5, 3, 3, mean 11/3."""
    moved_once = {**FACTORS, "strong dkd": {0: 29.0, 1: 26.0, 2: 28.0}}
    figures = with_gains(moved_once, [STRONG, WEAK])
    assert figures["strong dkd - strong kd"] == {0: -8.0, 1: -12.0, 2: -12.0}
    [found] = compare(figures, [(gain_name(STRONG), gain_name(WEAK))])
    assert found.differences == {0: 5.0, 1: 3.0, 2: 3.0}
    assert found.paired is not None
    # Standard deviation 2/√3, standard error 2/3: t = (11/3) / (2/3).
    assert found.paired.t == pytest.approx(5.5)
    assert found.paired.p == pytest.approx(1 - 5.5 / math.sqrt(5.5**2 + 2))
    theirs = stats.ttest_rel([-8, -12, -12], [-13, -15, -15])
    low, high = theirs.confidence_interval(0.95)
    assert found.paired.p == pytest.approx(theirs.pvalue)
    assert (found.paired.interval.low, found.paired.interval.high) == pytest.approx((low, high))
    verdict = give_verdict(found, "%", higher_is_better=True, arm="strong", control="weak")
    assert verdict == Verdict(outcome="better", text="+3.67 ± 1.15 points over weak, 3 seeds, p = 0.032")


def test_a_contrast_of_equal_gains_has_no_test() -> None:
    [found] = compare(with_gains(FACTORS, [STRONG, WEAK]), [(gain_name(STRONG), gain_name(WEAK))])
    assert give_verdict(found, "%", higher_is_better=True).outcome == "untested"


def test_a_contrast_takes_the_seeds_that_all_four_arms_have_and_counts_in_the_family() -> None:
    generator = np.random.default_rng(3)
    arms = {name: dict(enumerate(generator.normal(60, 2, 6))) for name in FACTORS}
    del arms["strong kd"][0], arms["weak dkd"][5]
    pairs = [STRONG, WEAK, (gain_name(STRONG), gain_name(WEAK))]
    found = compare(with_gains(arms, [STRONG, WEAK]), pairs)
    assert list(found[2].differences) == [1, 2, 3, 4]
    assert found[2].unpaired == (0, 5)
    interaction = [
        arms["strong dkd"][seed] - arms["strong kd"][seed] - arms["weak dkd"][seed] + arms["weak kd"][seed]
        for seed in (1, 2, 3, 4)
    ]
    assert found[2].paired is not None
    assert found[2].paired.p == pytest.approx(stats.ttest_1samp(interaction, 0.0).pvalue)
    assert {one.family for one in found} == {3}
    raw = sorted(one.paired.p for one in found if one.paired is not None)
    assert min(one.p_adjusted or 1.0 for one in found) == pytest.approx(min(1.0, 3 * raw[0]))


def test_a_contrast_of_one_seed_is_said_to_have_no_test() -> None:
    one = {name: {0: figures[0]} for name, figures in FACTORS.items()}
    [found] = compare(with_gains(one, [STRONG, WEAK]), [(gain_name(STRONG), gain_name(WEAK))])
    verdict = give_verdict(found, "%", higher_is_better=True, control="weak")
    assert verdict == Verdict(outcome="untested", text="no test is computed: one seed (+3.00 points over weak)")


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_false_claims_stay_rare(seeds: int) -> None:
    """500 studies of two arms equal to their control: at most 5 % may make any claim (within 3.5 standard errors)."""
    generator = np.random.default_rng(seeds)
    studies, claims = 500, 0
    for _ in range(studies):
        shared = generator.normal(0, 1, seeds)
        arms = {name: dict(enumerate(shared + generator.normal(70, 0.4, seeds))) for name in ("a", "b", "scratch")}
        found = compare(arms, [("a", "scratch"), ("b", "scratch")])
        claims += any(give_verdict(one, "%", higher_is_better=True).outcome in ("better", "worse") for one in found)
    assert claims / studies <= 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / studies)


def test_no_claim_without_an_interval_that_supports_it() -> None:
    generator = np.random.default_rng(9)
    outcomes = set()
    for _ in range(300):
        effect = generator.choice([-1.0, -0.3, 0.0, 0.3, 1.0])
        arms = {
            "a": dict(enumerate(generator.normal(70 + effect, 0.3, 4))),
            "scratch": dict(enumerate(generator.normal(70, 0.3, 4))),
        }
        found = compare(arms, [("a", "scratch")])[0]
        verdict = give_verdict(found, "%", higher_is_better=True)
        outcomes.add(verdict.outcome)
        low, high = stats.ttest_rel(list(arms["a"].values()), list(arms["scratch"].values())).confidence_interval(0.95)
        if verdict.outcome == "better":
            assert low > 0
        elif verdict.outcome == "worse":
            assert high < 0
    assert outcomes == {"better", "worse", "none"}


def test_a_real_difference_is_found_with_five_seeds() -> None:
    generator = np.random.default_rng(4)
    found = 0
    for _ in range(100):
        shared = generator.normal(70, 1, 5)
        arm = dict(enumerate(shared + 0.8 + generator.normal(0, 0.25, 5)))
        found += judged(arm, dict(enumerate(shared))).outcome == "better"
    assert found >= 95
