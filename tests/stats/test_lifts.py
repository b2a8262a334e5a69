"""Lift: worked by hand, blank without room, and simulated coverage. Growth."""

import math

import numpy as np
import pytest

from memeval.errors import UsageError
from memeval.stats import growth, lift, paired

NONE, AGENT, ORACLE = [0.0] * 5, [0.5, 0.5, 0.75, 0.25, 0.5], [1.0, 0.75, 1.0, 0.75, 1.0]


def spread_out(shares, size=4):
    """Five clusters of `size` questions with these shares of right ones."""
    return [float(index < share * size) for share in shares for index in range(size)]


def test_five_clusters_worked_by_hand():
    # sums: gain 2 2 3 1 2 = 10, room 4 3 4 3 4 = 18, so the ratio is .5556. Without one cluster: 8/14, 8/15, 7/14, 9/15,
    # 8/14 = .571429 .533333 .5 .6 .571429; minus .555556: .015873 -.022222 -.055556 .044444 .015873, squares sum to
    # .006059; times 4/5: .004847, root .069621. Effective clusters: 18^2 / (16+9+16+9+16) = 4.909091, so 3.909091 degrees
    # of freedom
    labels = [index // 4 for index in range(20)]
    found = lift(spread_out(AGENT), spread_out(NONE), spread_out(ORACLE), labels)
    from scipy import stats

    reach = 0.069621 * stats.t.ppf(0.975, 3.909091)
    assert found.value == pytest.approx(10 / 18)
    assert (found.low, found.high) == pytest.approx((10 / 18 - reach, 10 / 18 + reach), abs=1e-4)
    assert (found.room.n, found.room.clusters, found.room.within_stream) == (20, 5, False)
    assert found.room.value == pytest.approx(18 / 20)


def test_many_clusters_are_drawn_with_the_scores_of_all_three_runs():
    rng = np.random.default_rng(6)
    none, oracle = (rng.random(200) < 0.1) * 1.0, (rng.random(200) < 0.8) * 1.0
    agent = np.where(rng.random(200) < 0.5, oracle, none)
    found = lift(agent, none, oracle, range(200))
    other = np.random.default_rng(77)  # an independent percentile bootstrap of the ratio
    drawn = [other.integers(0, 200, 200) for _ in range(20_000)]
    ratios = [(agent[d] - none[d]).sum() / (oracle[d] - none[d]).sum() for d in drawn]
    assert (found.low, found.high) == pytest.approx(np.quantile(ratios, [0.024, 0.976]), abs=0.012)


def test_without_room_there_is_no_lift():
    same = [1.0, 0.0] * 40
    found = lift(same, same, same, range(80))
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.room.value == 0.0
    little = [1.0] * 8 + [0.0] * 72
    assert lift(little, [0.0] * 80, little, range(80)).value is None  # oracle - none is .1, its lower limit below .05


@pytest.mark.parametrize("size", [1, 5])
def test_to_equal_a_control_on_every_question_is_not_certain(size):
    none, oracle, labels = [0.0] * 100, [1.0] * 90 + [0.0] * 10, [index // size for index in range(100)]
    best, worst = lift(oracle, none, oracle, labels), lift(none, none, oracle, labels)
    assert best.low < best.value == 1.0 < best.high
    assert worst.low < worst.value == 0.0 < worst.high


def test_where_the_agent_differs_from_a_control_in_few_clusters_the_limits_are_those_of_that_difference_per_room():
    none, oracle = [0.0] * 100, [1.0] * 40 + [0.0] * 60  # room for .4
    a_little, nearly_all = [1.0] * 2 + [0.0] * 98, [1.0] * 38 + [0.0] * 62
    low, high = lift(a_little, none, oracle, range(100)), lift(nearly_all, none, oracle, range(100))
    above_none, below_oracle = paired(a_little, none, range(100)), paired(nearly_all, oracle, range(100))
    assert (low.value, high.value) == pytest.approx((0.05, 0.95))
    assert low.low <= above_none.low / 0.4
    assert low.high >= above_none.high / 0.4
    assert high.low <= 1 + below_oracle.low / 0.4
    assert high.high >= 1 + below_oracle.high / 0.4


def test_a_lift_is_not_clipped():
    none, oracle = [0.0, 1.0] * 50, [1.0] * 90 + [0.0] * 10
    assert lift([1.0] * 100, none, oracle, range(100)).value > 1
    assert lift([0.0] * 100, none, oracle, range(100)).value < 0


def test_the_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(1)
    for clusters in (4, 12, 40):
        columns = [rng.random(120) * scale for scale in (0.6, 0.1, 1.0)]
        labels, order = np.arange(120) % clusters, rng.permutation(120)
        assert lift(*(column[order] for column in columns), labels[order]) == lift(*columns, labels)


def test_bad_input_is_one_line():
    with pytest.raises(UsageError, match="values for 2 cluster labels"):
        lift([1.0], [0.0, 0.0], [1.0, 1.0], ["a", "b"])


def test_growth_is_of_sums_and_paired_by_question():
    base = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert growth([1.2 * value for value in base], base, range(6)) == pytest.approx((0.2, 0.2, 0.2))
    value, low, high = growth([2.0, 2.0, 3.0, 5.0, 6.0, 7.5], base, range(6))
    assert value == pytest.approx(25.5 / 21 - 1)
    assert -1 < low < value < high
    assert growth(base, [2 * value for value in base], range(6))[0] == pytest.approx(-0.5)


def test_growth_from_nothing_is_infinite_and_nothing_grows_to_nothing():
    assert growth([0.0, 1.0], [0.0, 0.0], range(2)) == (math.inf,) * 3
    assert growth([0.0, 0.0], [0.0, 0.0], range(2)) == (0.0,) * 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 3, 10, 40])
@pytest.mark.parametrize("others", [0.0, 1.0])
def test_growth_from_one_question_alone_has_no_limits(count, others):
    found = growth([2.0] + [others] * (count - 1), [1.0] + [0.0] * (count - 1), range(count))
    assert found == (1 + others * (count - 1), -math.inf, math.inf)


def test_growth_where_many_streams_begin_with_nothing_has_finite_limits():
    """Some resamples of the clusters hold none whose first value is above zero; the result is still finite."""
    assert all(map(math.isfinite, growth([2.0] * 2 + [1.0] * 38, [1.0] * 2 + [0.0] * 38, range(40))))


def test_growth_within_few_streams_is_by_question():
    base, values = [1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 2.0, 1.0]
    assert growth(values, base, ["a", "a", "b", "b"]) == growth(values, base, range(4))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("clusters", "size", "correlation"), [(128, 1, 0.0), (37, 5, 0.2), (10, 12, 0.2)])
@pytest.mark.parametrize("true", [0.0, 0.5, 0.9])
def test_coverage(clusters, size, correlation, true):
    rng = np.random.default_rng([clusters, round(true * 100)])
    labels, n, covered, told = np.repeat(np.arange(clusters), size), clusters * size, 0, 0
    for _ in range(300):
        common = rng.random(n)

        def right(rate, common=common):
            """One run: questions have a common difficulty, and clusters rates of their own."""
            weight = 1 / correlation - 1 if correlation else 0.0
            rates = rng.beta(rate * weight, (1 - rate) * weight, clusters) if correlation else np.full(clusters, rate)
            return (np.where(rng.random(n) < 0.7, common, rng.random(n)) < rates[labels]) * 1.0

        found = lift(right(0.1 + true * 0.7), right(0.1), right(0.8), labels, resamples=500)
        if found.value is not None:
            told += 1
            covered += found.low <= true <= found.high
    assert told >= 290
    assert covered / told >= 0.93 - 0.025
