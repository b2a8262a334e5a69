"""Kappa and the Rogan-Gladen correction: values worked by hand, coverage by simulation."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.judging.rates import Rate, cohens_kappa, corrected, kappa, limits, rate, rogan_gladen


def known(value: float) -> Rate:
    return Rate(value, value, value, 0)


@pytest.mark.parametrize(
    ("table", "value"),
    [
        # human right and judge right, human right and judge wrong, human wrong and judge right, both wrong
        ((20, 5, 10, 15), 0.4),  # observed 35/50 = 0.7, chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5: 0.2 / 0.5
        ((45, 15, 25, 15), 3 / 23),  # observed 0.6, chance 0.6 * 0.7 + 0.4 * 0.3 = 0.54: 0.06 / 0.46
        ((25, 35, 5, 35), 7 / 27),  # observed 0.6, chance 0.6 * 0.3 + 0.4 * 0.7 = 0.46: 0.14 / 0.54
        ((40, 0, 0, 60), 1.0),
        ((30, 30, 20, 20), 0.0),  # the judge tosses a coin
        ((0, 50, 50, 0), -1.0),
    ],
)
def test_kappa_of_a_table(table: tuple[int, int, int, int], value: float) -> None:
    hit, reject, accept, miss = table
    share = (hit + reject) / sum(table)
    assert cohens_kappa(accept / (accept + miss), reject / (hit + reject), share) == pytest.approx(value)


def test_kappa_of_a_judge_without_errors_has_a_lower_limit() -> None:
    found = kappa(rate([False] * 30, range(30)), rate([False] * 30, range(30)), 0.5)
    assert (found.value, found.high, found.n) == (1.0, 1.0, 60)
    assert 0.8 < found.low < 0.95


@pytest.mark.parametrize(
    ("observed", "accept", "reject", "judged", "value"),
    [
        (0.5, 0.1, 0.2, 1.0, 4 / 7),  # (0.5 - 0.1) / 0.7
        (0.5, 0.1, 0.2, 0.8, 0.6),  # (0.5 - 0.08) / 0.7
        (0.37, 0.0, 0.0, 1.0, 0.37),
        (0.9, 0.0, 0.1, 1.0, 1.0),
        (0.05, 0.1, 0.1, 1.0, -0.0625),
    ],
)
def test_rogan_gladen(observed: float, accept: float, reject: float, judged: float, value: float) -> None:
    assert rogan_gladen(observed, accept, reject, judged) == pytest.approx(value)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.floats(0, 1), st.floats(0, 0.45), st.floats(0, 0.45))
def test_it_undoes_what_the_judge_does(true: float, accept: float, reject: float) -> None:
    observed = true * (1 - reject) + (1 - true) * accept
    assert rogan_gladen(observed, accept, reject) == pytest.approx(true, abs=1e-9)


def test_limits_of_a_sum_are_those_of_independent_errors() -> None:
    low, high = limits(lambda x, y: x + y, (Rate(1.0, 0.7, 1.4, 1), Rate(2.0, 1.6, 2.3, 1)))
    assert (low, high) == pytest.approx((3.0 - 0.5, 3.0 + 0.5))  # 3-4-5 both ways


def test_correction_with_known_errors_moves_the_limits() -> None:
    found = corrected(Rate(0.5, 0.4, 0.6, 100), known(0.1), known(0.1))
    assert isinstance(found, Rate)
    assert (found.value, found.low, found.high, found.n) == pytest.approx((0.5, 0.375, 0.625, 100))


def test_correction_carries_the_uncertainty_of_the_calibration() -> None:
    """By hand: q moves the result by 0.125 either way; a from 0.05 to 0.2 takes it to 0.45/0.85 and 0.3/0.7; r likewise to
    0.4/0.85 and 0.4/0.7."""
    found = corrected(Rate(0.5, 0.4, 0.6, 100), Rate(0.1, 0.05, 0.2, 40), Rate(0.1, 0.05, 0.2, 40))
    assert isinstance(found, Rate)
    reach = math.sqrt(0.125**2 + (0.5 - 0.3 / 0.7) ** 2 + (0.5 - 0.4 / 0.85) ** 2)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5 - reach, 0.5 + reach))


def test_what_cannot_be_corrected() -> None:
    coin = corrected(Rate(0.5, 0.4, 0.6, 100), known(0.5), known(0.5))
    assert coin == "on the calibration set the judge does no better than chance"
    assert "does not fit" in str(corrected(Rate(0.0, 0.0, 0.05, 100), known(0.3), known(0.1)))
    assert "does not fit" in str(corrected(Rate(1.0, 0.97, 1.0, 100), known(0.0), known(0.3)))
    loose = corrected(Rate(0.5, 0.4, 0.6, 100), Rate(0.3, 0.1, 0.8, 5), known(0.25))
    assert isinstance(loose, Rate)
    assert (loose.low, loose.high) == (0.0, 1.0)


def test_corrected_rates_stay_fractions() -> None:
    found = corrected(Rate(0.08, 0.02, 0.2, 50), Rate(0.1, 0.02, 0.2, 50), Rate(0.1, 0.02, 0.2, 50))
    assert isinstance(found, Rate)
    assert found.value == found.low == 0.0
    assert 0.0 < found.high < 0.3


def test_no_answers_no_rate() -> None:
    assert rate([], []) is None


@pytest.mark.parametrize(
    ("true", "accept", "reject", "n"),
    [
        (0.6, 0.1, 0.08, 128),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(0.9, 0.1, 0.05, 128), (0.5, 0.2, 0.2, 128), (0.3, 0.02, 0.05, 500)]
        ),
    ],
)
@pytest.mark.slow
def test_coverage(true: float, accept: float, reject: float, n: int) -> None:
    """The limits hold the truth in some 95 % of simulated runs and calibrations of 45 wrong and 40 right answers."""
    random = np.random.default_rng(7)
    trials, held, kappas = 300, 0, 0
    of_count = functools.cache(lambda hits, answers: rate([True] * hits + [False] * (answers - hits), range(answers)))
    for _ in range(trials):
        truth = random.random(n) < true
        called = np.where(truth, random.random(n) >= reject, random.random(n) < accept)
        accepts, rejects = random.random(45) < accept, random.random(40) < reject
        rates = [of_count(int(hits.sum()), len(hits)) for hits in (called, accepts, rejects)]  # one answer to a question
        found = corrected(*rates)
        held += isinstance(found, Rate) and found.low <= true <= found.high
        agreement = kappa(rates[1], rates[2], 40 / 85)
        kappas += agreement.low <= cohens_kappa(accept, reject, 40 / 85) <= agreement.high
    assert held / trials >= 0.92
    assert kappas / trials >= 0.92
