"""False alarms of one-sided bounds, which `memeval gate` uses: counted over all outcomes, and by simulation in clusters.

A bound at level .95 may be on the wrong side of the truth in one of twenty samples, whatever the truth is.
"""

import functools
import math

import numpy as np
import pytest

from memeval.stats import difference, growth

ALPHA = 0.05


@functools.cache
def bounds(n, gains, losses):
    """Both one-sided bounds of the difference of two 0/1 scores."""
    a = [1.0] * gains + [0.0] * losses + [1.0] * (n - gains - losses)
    b = [0.0] * gains + [1.0] * losses + [1.0] * (n - gains - losses)
    _, low, high = difference(a, b, range(n), confidence=1 - 2 * ALPHA, resamples=1000)
    return low, high


def misses(n, gain, loss):
    """How often gain - loss lies above the upper bound, and below the lower one: summed over all outcomes, each with its
    probability (multinomial)."""
    above = below = 0.0
    for gains in range(n + 1):
        for losses in range(n - gains + 1):
            tied = n - gains - losses
            logs = math.lgamma(n + 1) - math.lgamma(gains + 1) - math.lgamma(losses + 1) - math.lgamma(tied + 1)
            for count, rate in ((gains, gain), (losses, loss), (tied, 1 - gain - loss)):
                logs += count * math.log(rate) if count else 0.0
            if logs > math.log(1e-6):
                low, high = bounds(n, gains, losses)
                above += math.exp(logs) * (gain - loss > high + 1e-9)
                below += math.exp(logs) * (gain - loss < low - 1e-9)
    return above, below


@pytest.mark.parametrize("n", [12, pytest.param(32, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.2])
def test_a_candidate_that_is_as_good_is_stopped_as_rarely_as_promised(n, rate):
    above, below = misses(n, rate, rate)
    assert max(above, below) <= ALPHA
    assert n * rate < 10 or above >= 0.03  # and it is a test: not far below its level where there is something to count


@pytest.mark.slow
@pytest.mark.parametrize("n", [32, 100])
@pytest.mark.parametrize(("gain", "loss"), [(0.02, 0.12), (0.05, 0.15), (0.1, 0.3), (0.02, 0.42)])
def test_a_candidate_that_is_worse_by_the_drop_passes_as_rarely_as_promised(n, gain, loss):
    above, below = misses(n, gain, loss)
    assert max(above, below) <= ALPHA + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 128])
def test_nearly_all_pairs_differ_the_same_way(n):
    """A true difference of .99: the interval of 90 % covers it, and is never empty."""
    above, below = misses(n, 0.99, 0.00001)
    assert above + below <= 2 * ALPHA
    low, high = bounds(n, n, 0)
    assert low < 0.99 < high == 1.0


def clustered(clusters, correlation, rates, graded, rng):
    """Scores of two agents on clusters of 1 to 15 questions; questions have a common difficulty, clusters rates of their
    own."""
    labels = np.repeat(np.arange(clusters), rng.integers(1, 16, clusters))
    n, common = len(labels), rng.random(len(labels))
    scores = []
    for rate in rates:
        weight = 1 / correlation - 1
        own = rng.beta(rate * weight, (1 - rate) * weight, clusters)[labels]
        right = np.where(rng.random(n) < 0.6, common, rng.random(n)) < own
        scores.append(right * (rng.uniform(0.4, 1, n) if graded else 1.0))
    return scores, labels


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("clusters", [5, 10, 37])
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize(
    ("correlation", "rates"), [(0.1, (0.3, 0.3)), (0.5, (0.5, 0.5)), (0.3, (0.6, 0.8)), (0.3, (0.95, 0.95))]
)
def test_clusters_keep_the_level_at_each_end(clusters, graded, correlation, rates):
    rng = np.random.default_rng([clusters, graded, round(100 * correlation), round(100 * rates[0]), 1])
    true, runs, above, below = (rates[0] - rates[1]) * (0.7 if graded else 1.0), 400, 0, 0
    for _ in range(runs):
        (a, b), labels = clustered(clusters, correlation, rates, graded, rng)
        _, low, high = difference(a, b, labels, confidence=1 - 2 * ALPHA, resamples=500)
        above += true > high + 1e-9
        below += true < low - 1e-9
    assert max(above, below) / runs <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("clusters", [8, 40, 128])
def test_growth_keeps_the_level_at_each_end(clusters):
    """Sizes of memories: lognormal, correlated between the two agents."""
    rng, runs, above, below = np.random.default_rng(clusters), 400, 0, 0
    for _ in range(runs):
        common = rng.normal(0, 0.4, clusters)
        base, now = (1000 * np.exp(common + rng.normal(0, 0.2, clusters)) for _ in range(2))
        _, low, high = growth(1.2 * now, base, range(clusters), confidence=1 - 2 * ALPHA, resamples=500)
        above += high < 0.2
        below += low > 0.2
    assert max(above, below) / runs <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_growth_worked_by_hand():
    # sums 12 against 10; without one of five clusters: 10/8, 9.5/8, 9.5/8, 10/8, 9/8 = 1.25 1.1875 1.1875 1.25 1.125, minus
    # 1.2: .05 -.0125 -.0125 .05 -.075, squares sum to .0109375; times 4/5 = .00875, root .093541; t(.975, 4) = 2.776445
    value, low, high = growth([2.0, 2.5, 2.5, 2.0, 3.0], [2.0] * 5, range(5))
    assert (value, low, high) == pytest.approx((0.2, 0.2 - 0.259712, 0.2 + 0.259712), abs=1e-5)
    assert growth([0.0, 0.0], [0.0, 0.0], [1, 2]) == (0.0, 0.0, 0.0)
    assert growth([0.0, 1.0], [0.0, 0.0], [1, 2])[0] == math.inf
