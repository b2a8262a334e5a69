"""Intervals: golden values worked by hand, invariants, and simulated coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.stats import Interval, binomial_limits, interval
from memeval.stats.intervals import Groups, effective_answers, jackknife_variance, near, nearly_constant


def expand(means, size):
    """Clusters of `size` answers with these shares of right ones."""
    values = [float(index < round(mean * size)) for mean in means for index in range(size)]
    return values, [cluster for cluster in range(len(means)) for _ in range(size)]


def test_five_equal_clusters_are_the_t_interval_worked_by_hand():
    # cluster means .25 .5 .5 .75 1: mean .6, squared deviations sum to .325, so se = sqrt(.325 / 4 / 5) = .127475
    # and t(.975, 4) = 2.776445. On the logit scale: log(.6 / .4) = .405465, se / (.6 x .4) = .531146, so the ends are
    # .405465 -+ 1.474698, that is -1.069233 and 1.880163, and 1 / (1 + e^-x) gives .255550 and .867629
    found = interval(*expand([0.25, 0.5, 0.5, 0.75, 1.0], 4))
    assert found.value == pytest.approx(0.6)
    assert (found.low, found.high) == pytest.approx((0.255550, 0.867629), abs=1e-5)
    assert (found.n, found.clusters, found.method, found.within_stream) == (20, 5, "t", False)


def test_the_mean_weighs_questions_not_clusters():
    values, clusters = [1.0] * 9 + [0.0], [0] * 9 + [1]
    assert interval(values, clusters).value == pytest.approx(0.9)


def test_jackknife_variance_is_the_delete_one_formula():
    sums, sizes = np.array([1.0, 3, 0, 2, 4]), np.array([2.0, 3, 1, 4, 5])
    without = [(10 - s) / (15 - m) for s, m in zip(sums, sizes, strict=True)]
    expected = 4 / 5 * sum((value - 10 / 15) ** 2 for value in without)
    assert jackknife_variance(Groups(sums, sizes)) == pytest.approx(expected, rel=1e-12)


def test_unequal_clusters_count_as_fewer():
    groups = Groups(np.zeros(4), np.array([1.0, 1, 1, 5]))
    assert groups.effective == pytest.approx(64 / 28)  # 8^2 / (1 + 1 + 1 + 25)
    assert Groups(np.zeros(7), np.full(7, 3.0)).effective == pytest.approx(7)


def test_thirty_clusters_and_more_are_bootstrapped_by_cluster():
    rng = np.random.default_rng(5)
    rates = rng.beta(2, 2, 60)
    values = (rng.random((60, 6)) < rates[:, None]).astype(float)
    found = interval(values.ravel().tolist(), np.repeat(np.arange(60), 6).tolist())
    other = np.random.default_rng(99)  # an independent percentile bootstrap of whole clusters, with the t-like levels
    means = [values[other.integers(0, 60, 60)].mean() for _ in range(20_000)]
    assert found.method == "bootstrap"
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.0219, 0.9781]), abs=0.004)
    naive = 1.96 * np.sqrt(found.value * (1 - found.value) / 360)
    assert found.high - found.low > 2.4 * naive  # answers in a cluster agree: far wider than 360 independent ones


def test_off_the_centre_the_longer_side_of_the_bootstrap_reaches_as_far_as_the_t_interval():
    from scipy import stats

    found = interval([1.0] * 30 + [0.0] * 70, list(range(100)))
    reach = stats.t.ppf(0.975, 99) * np.sqrt(0.3 * 0.7 / 99) / (0.3 * 0.7)  # on the logit scale
    assert found.method == "bootstrap"
    assert found.high == pytest.approx(1 / (1 + np.exp(-(np.log(0.3 / 0.7) + reach))))  # the bootstrap alone ends at .39


def test_answers_that_agree_within_their_clusters_are_worth_as_many_as_there_are_clusters():
    alike = Groups(np.array([5.0] * 7 + [0.0] * 3), np.full(10, 5.0))
    assert effective_answers(alike, 0.7 * 0.3, 15) == pytest.approx(10)
    # every cluster has the same share: no sign of agreement, but two answers' weight of doubt: rho = 2 / (10 + 2)
    assert effective_answers(Groups(np.full(10, 1.0), np.full(10, 5.0)), 0.2 * 0.8, 10) == pytest.approx(
        50 / (1 + 4 * 2 / 12)
    )
    assert effective_answers(Groups(np.full(10, 1.0), np.full(10, 1.0)), 0.2, 3) == 10


def test_near_a_bound_are_fewer_than_ten_answers_or_than_clusters():
    few, many = (Groups(np.zeros(count), np.ones(count)) for count in (6, 40))
    assert [near(24, share, few) for share in (0.2, 0.3)] == [True, False]
    assert [near(100, share, many) for share in (0.09, 0.11)] == [True, False]


@pytest.mark.parametrize(
    ("clusters", "others", "widened"), [(40, 4, True), (40, 8, False), (100, 9, True), (100, 10, False)]
)
def test_where_hardly_any_cluster_differs_those_not_seen_may_lie_at_a_bound(clusters, others, widened):
    sums = np.array([2.0] * (clusters - others) + [3.0] * others)  # shares .4 and .6
    found = nearly_constant(Groups(sums, np.full(clusters, 5.0)), 0.95, (0.0, 1.0))
    mean, unseen = sums.sum() / (5 * clusters), binomial_limits(others, clusters)[1] - others / clusters
    assert found == (pytest.approx((mean - 0.4 * unseen, mean + 0.6 * unseen)) if widened else None)


def test_the_same_input_gives_the_same_interval_in_any_order():
    rng = np.random.default_rng(0)
    for clusters in (12, 40):
        values, labels = rng.random(200).tolist(), [f"persona {i % clusters}" for i in range(200)]
        found = interval(values, labels)
        order = rng.permutation(200)
        assert interval([values[i] for i in order], [labels[i] for i in order]) == found
        assert interval(values, labels) == found


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize(("clusters", "size"), [(1, 8), (3, 4), (5, 1), (5, 25), (20, 10), (37, 1), (128, 1), (128, 20)])
def test_all_right_or_all_wrong_is_never_certain(clusters, size, value):
    found = interval([value] * (clusters * size), [i // size for i in range(clusters * size)])
    assert found.value == value
    assert 0.0 < found.high - found.low < 1.0
    assert value in (found.low, found.high)
    units = clusters if clusters >= 5 else clusters * size
    assert found.high - found.low == pytest.approx(1 - 0.05 ** (1 / units), abs=1e-6)  # every cluster counts once


def test_near_a_bound_the_limit_is_wider_than_the_bootstrap_has_it():
    found = interval([1.0] * 127 + [0.0], list(range(128)))
    assert found.method == "bootstrap+midp"
    assert found.low == pytest.approx(0.9621, abs=2e-4)  # mid-P of 127 of 128; the bootstrap alone says .977
    assert interval([1.0] * 100 + [0.0] * 28, list(range(128))).method == "bootstrap"


def test_fewer_than_five_clusters_speak_of_questions_in_these_streams_only():
    values = [float(i % 3 > 0) for i in range(60)]
    found = interval(values, [i // 20 for i in range(60)])
    alone = interval(values, list(range(60)))
    assert (found.within_stream, found.clusters, found.n) == (True, 3, 60)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.02)  # other draws, same method
    assert alone.within_stream is False


def test_a_single_value_says_nothing():
    assert interval([0.4], ["only"]) == Interval(0.4, 0.0, 1.0, 1, 1, "none", True)
    assert interval([12.0], ["only"]).high == float("inf")


def test_values_outside_0_1_are_not_clipped():
    found = interval([float(i % 7 - 3) for i in range(70)], [i // 2 for i in range(70)])
    assert found.low < 0 < found.high
    found = interval([200.0 + i % 5 for i in range(50)], [i // 5 for i in range(50)])
    assert 200 < found.low <= found.high < 205


def test_a_one_sided_bound_is_the_end_of_a_90_percent_interval():
    values, clusters = expand([0.2, 0.4, 0.5, 0.6, 0.4, 0.7, 0.3, 0.5], 40)
    assert interval(values, clusters, confidence=0.9).high < interval(values, clusters).high
    assert interval(values, clusters, confidence=0.99).high > interval(values, clusters).high


def test_repeats_are_averaged_first_and_do_not_multiply_n():
    clusters = list(range(40))
    once = [float(i % 2) for i in range(40)]
    assert interval([sum([v, v, v]) / 3 for v in once], clusters) == interval(once, clusters)


@pytest.mark.parametrize(
    ("values", "clusters", "words"),
    [
        ([], [], "at least one"),
        ([1.0], ["a", "b"], "1 values for 2 cluster labels"),
        ([0.5, float("nan")], ["a", "b"], "value 2 is nan"),
        ([float("inf")], ["a"], "finite"),
    ],
)
def test_bad_input_is_one_line(values, clusters, words):
    with pytest.raises(UsageError, match=words) as caught:
        interval(values, clusters)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 0.5, 0.25]), st.integers(0, 40)), min_size=1, max_size=90))
def test_the_interval_holds_the_mean_and_stays_in_range(rows):
    values, clusters = [value for value, _ in rows], [cluster for _, cluster in rows]
    found = interval(values, clusters, resamples=200)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    assert found.value == pytest.approx(sum(values) / len(values))
    assert found.clusters == len(set(clusters))
    mirrored = interval([1 - value for value in values], clusters, resamples=200)
    if found.method.startswith("t"):  # the bootstrap's quantiles interpolate, so that it mirrors to rounding only
        assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-8)


def test_many_clusters_take_little_memory():
    large = interval([float(i % 2) for i in range(20_000)], list(range(20_000)), resamples=300)
    assert large.high - large.low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(20_000), rel=0.15)


def sizes(kind, clusters, rng):
    return {"one": np.ones, "equal": lambda g: np.full(g, 8), "unequal": lambda g: rng.integers(1, 16, g)}[kind](clusters)


def missed(clusters, kind, rate, correlation, runs, seed=11):
    """How often the true rate lies below the interval, and above it; answers are beta-binomial with this correlation
    inside clusters."""
    rng = np.random.default_rng([seed, clusters, round(rate * 1000), round(correlation * 1000)])
    below = above = 0
    for run in range(runs):
        if run % 40 == 0:
            each = sizes(kind, clusters, rng).astype(int)
            labels = np.repeat(np.arange(clusters), each)
        concentration = 1 / correlation - 1 if correlation else 0.0
        rates = (
            rng.beta(rate * concentration, (1 - rate) * concentration, clusters) if correlation else np.full(clusters, rate)
        )
        values = (rng.random(len(labels)) < rates[labels]).astype(float)
        found = interval(values, labels, resamples=1000)
        below += rate < found.low - 1e-9
        above += rate > found.high + 1e-9
    return below / runs, above / runs


def coverage(clusters, kind, rate, correlation, runs):
    return 1 - sum(missed(clusters, kind, rate, correlation, runs))


@pytest.mark.parametrize(
    ("clusters", "kind", "rate", "correlation"),
    [
        (5, "equal", 0.5, 0.1),
        (10, "unequal", 0.5, 0.3),
        (20, "unequal", 0.7, 0.1),
        (37, "equal", 0.5, 0.5),
        (128, "one", 0.5, 0.0),
        (128, "unequal", 0.9, 0.1),
    ],
)
def test_coverage_is_near_nominal(clusters, kind, rate, correlation):
    assert 0.93 - 0.025 <= coverage(clusters, kind, rate, correlation, 400) <= 0.97 + 0.02  # over two standard errors


@pytest.mark.parametrize(("clusters", "kind", "rate"), [(5, "unequal", 0.95), (20, "one", 0.05), (37, "equal", 0.98)])
def test_coverage_near_a_bound_is_at_least_nominal(clusters, kind, rate):
    assert coverage(clusters, kind, rate, 0.3 if kind != "one" else 0.0, 400) >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("clusters", [20, *(pytest.param(n, marks=pytest.mark.long) for n in (5, 10, 37, 128))])
def test_coverage_over_the_whole_grid(clusters):
    runs, middle = 800, []
    for kind in ("one", "equal", "unequal"):
        for correlation in (0.0,) if kind == "one" else (0.0, 0.25, 0.5):
            for rate in (0.02, 0.1, 0.5, 0.95):
                found = coverage(clusters, kind, rate, correlation, runs)
                assert found >= 0.93 - 0.02, (kind, rate, correlation, found)  # 2.2 standard errors
                if rate == 0.5 and kind != "one":  # five or ten single answers have too few outcomes to be exact
                    middle.append(found)
                    assert found <= 0.97 + 0.015, (kind, rate, correlation, found)
    assert 0.94 <= float(np.mean(middle)) <= 0.965


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("clusters", [10, *(pytest.param(n, marks=pytest.mark.long) for n in (5, 20, 37, 64, 128))])
def test_each_end_alone_keeps_its_level_off_the_centre(clusters):
    runs = 400
    for kind in ("equal", "unequal"):
        for correlation in (0.0, 0.25):
            for rate in (0.1, 0.3, 0.85):
                ends = missed(clusters, kind, rate, correlation, runs)
                assert max(ends) <= 0.025 + 0.03, (kind, rate, correlation, ends)  # nearly four standard errors


def test_between_scores_of_0_and_1_a_common_value_is_not_certain():
    found = interval([0.5] * 40, list(range(40)))
    reach = 0.5 * (1 - 0.05 ** (1 / 40))  # the share of other clusters may be this large, and they lie at 0 or 1
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=1e-6)
