"""Our probability functions against scipy, which is a test dependency only."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import optimize, special, stats

from memeval.stats.distributions import beta_cdf, binomial_limits, t_quantile


@pytest.mark.parametrize("probability", [0.9, 0.95, 0.975, 0.995, 0.025])
def test_t_quantile_equals_scipy_for_1_to_200_degrees(probability):
    ours = [t_quantile(probability, df) for df in range(1, 201)]
    assert ours == pytest.approx(stats.t.ppf(probability, np.arange(1, 201)), rel=1e-10)


def test_t_quantile_takes_fractional_degrees_and_knows_the_printed_table():
    for df in (1.0, 1.3, 2.5, 7.77, 63.2):
        assert t_quantile(0.975, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-10)
    assert [round(t_quantile(0.975, df), 3) for df in (1, 4, 9, 19, 36)] == [12.706, 2.776, 2.262, 2.093, 2.028]
    assert t_quantile(0.5, 7) == 0.0


@pytest.mark.parametrize(("probability", "df"), [(0.0, 5), (1.0, 5), (0.975, 0)])
def test_t_quantile_refuses_what_has_no_answer(probability, df):
    with pytest.raises(ValueError, match="t_quantile"):
        t_quantile(probability, df)


def test_beta_cdf_equals_scipy_from_tiny_to_large_parameters():
    for a in (0.01, 0.5, 1, 3.7, 60, 5000):
        for b in (0.01, 0.5, 2, 41.5, 12_576):
            for x in (0.0, 1e-6, 0.01, a / (a + b), 0.5, 0.99, 1.0):
                assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-13)


@pytest.mark.parametrize("n", [1, 5, 37, 128, 1000])
def test_no_success_leaves_the_bound_of_a_zero_count(n):
    low, high = binomial_limits(0, n)
    assert low == 0.0
    assert high == pytest.approx(1 - 0.05 ** (1 / n), abs=1e-9)
    assert binomial_limits(n, n) == pytest.approx((1 - high, 1.0), abs=1e-9)


def test_mid_p_limits_solve_their_definition_for_whole_counts():
    for successes, n in ((1, 10), (3, 37), (18, 37), (120, 128)):
        law = stats.binom

        def above(p, x=successes, n=n, law=law):
            return law.sf(x, n, p) + 0.5 * law.pmf(x, n, p) - 0.025

        def below(p, x=successes, n=n, law=law):
            return law.cdf(x - 1, n, p) + 0.5 * law.pmf(x, n, p) - 0.025

        expected = optimize.brentq(above, 1e-12, 1 - 1e-12), optimize.brentq(below, 1e-12, 1 - 1e-12)
        assert binomial_limits(successes, n) == pytest.approx(expected, abs=1e-9)


def test_limits_move_smoothly_with_fractional_counts():
    lows = [binomial_limits(x / 10, 12.5)[0] for x in range(126)]
    highs = [binomial_limits(x / 10, 12.5)[1] for x in range(126)]
    assert lows == sorted(lows)
    assert highs == sorted(highs)
    assert max(b - a for a, b in pairwise(lows)) < 0.08
    assert all(low <= x / 125 <= high for x, (low, high) in enumerate(zip(lows, highs, strict=True)))


def test_limits_are_wider_at_higher_confidence():
    assert binomial_limits(4, 20, 0.99)[0] < binomial_limits(4, 20, 0.9)[0]
    assert binomial_limits(4, 20, 0.99)[1] > binomial_limits(4, 20, 0.9)[1]
    assert math.isclose(sum(binomial_limits(10, 20)), 1.0, abs_tol=1e-9)
