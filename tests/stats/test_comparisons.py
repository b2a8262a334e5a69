"""Paired comparisons: exact tests against brute force and scipy, intervals, Holm."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memeval.errors import UsageError
from memeval.stats import difference, holm, interval, mcnemar, paired, tells_apart


def test_mcnemar_worked_by_hand():
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 2**12)  # C(12,0) + C(12,1) + C(12,2)
    assert mcnemar(2, 10) == mcnemar(10, 2)
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1.0


def test_mcnemar_equals_scipy_also_for_many_pairs():
    for gains, losses in ((1, 0), (7, 3), (60, 41), (900, 1020), (6000, 6200)):
        expected = stats.binomtest(gains, gains + losses, 0.5).pvalue
        assert mcnemar(gains, losses) == pytest.approx(expected, rel=1e-9)


def test_single_questions_with_scores_0_and_1_take_mcnemar():
    a = [1.0] * 10 + [0.0] * 2 + [1.0] * 20
    b = [0.0] * 10 + [1.0] * 2 + [1.0] * 20
    found = paired(a, b, list(range(32)))
    assert (found.method, found.n, found.clusters, found.within_stream) == ("mcnemar", 32, 32, False)
    assert found.p == pytest.approx(158 / 4096)
    assert found.value == pytest.approx(0.25)
    assert found.low < 0.25 < found.high


@pytest.mark.parametrize("per_cluster", [1, 3])
def test_up_to_14_clusters_the_sign_flip_goes_through_all_patterns(per_cluster):
    rng = np.random.default_rng(4)
    a, b = rng.random(9 * per_cluster).round(2), rng.random(9 * per_cluster).round(2)
    labels = np.repeat(np.arange(9), per_cluster)
    sums = [float((a - b)[labels == cluster].sum()) for cluster in range(9)]
    totals = [abs(sum(s * d for s, d in zip(signs, sums, strict=True))) for signs in itertools.product((1, -1), repeat=9)]
    expected = sum(total >= abs(sum(sums)) - 1e-9 for total in totals) / 2**9
    found = paired(a.tolist(), b.tolist(), labels.tolist())
    assert found.method == "sign-flip"
    assert found.p == pytest.approx(expected)


def test_clusters_without_difference_cost_no_patterns():
    a = [0.5] * 40 + [0.9] * 6
    b = [0.5] * 40 + [0.1] * 6
    assert paired(a, b, list(range(46))).p == pytest.approx(2 / 2**6)


def test_more_clusters_are_drawn_seeded_and_never_give_zero():
    rng = np.random.default_rng(1)
    a = rng.random(200)
    b = a - 0.2 + 0.05 * rng.random(200)
    labels = [i // 5 for i in range(200)]
    found = paired(a.tolist(), b.tolist(), labels)
    assert found.p == pytest.approx(1 / 10_001)
    noise = rng.normal(0, 0.2, 200)
    close = paired(a.tolist(), (a + noise).tolist(), labels)
    assert close == paired(a.tolist(), (a + noise).tolist(), labels)
    sums = np.array([noise[np.array(labels) == c].sum() for c in range(40)])
    normal = 2 * stats.norm.sf(abs(sums.sum()) / np.sqrt((sums**2).sum()))
    assert close.p == pytest.approx(normal, abs=0.03)


def test_questions_of_a_stream_are_not_independent_pairs():
    a, b = [1.0] * 40, [0.0] * 40
    labels = [i // 8 for i in range(40)]
    found = paired(a, b, labels)
    assert found.method == "sign-flip"
    assert found.p == pytest.approx(2 / 2**5)  # five streams: no smaller p is possible
    assert paired(a, b, list(range(40))).p < 1e-11


def test_fewer_than_five_streams_compare_questions_and_say_so():
    found = paired([1.0] * 10 + [0.0] * 10, [0.0] * 10 + [0.0] * 10, [i // 10 for i in range(20)])
    assert (found.within_stream, found.method, found.clusters) == (True, "mcnemar", 2)
    assert found.p == pytest.approx(2 / 2**10)


def test_a_tie_on_every_question_is_not_certain():
    for clusters in (list(range(32)), [i // 4 for i in range(32)], [0] * 32):
        found = paired([1.0] * 20 + [0.0] * 12, [1.0] * 20 + [0.0] * 12, clusters)
        assert found.value == 0.0
        assert found.p == 1.0
        assert -1.0 < found.low < 0.0 < found.high < 1.0
        assert found.low == pytest.approx(-found.high)
    assert paired([1.0] * 512, [1.0] * 512, list(range(512))).high < 0.02


def test_the_difference_interval_is_the_interval_of_the_differences():
    rng = np.random.default_rng(3)
    a, b = 100 * rng.random(300), 100 * rng.random(300)  # outside [0, 1], where no bound is known
    labels = [i // 5 for i in range(300)]
    found, plain = paired(a.tolist(), b.tolist(), labels), interval((a - b).tolist(), labels)
    assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)


@pytest.mark.parametrize("n", [5, 10, 29, 30, 128])
def test_to_win_every_question_is_not_certain(n):
    found = paired([1.0] * n, [0.0] * n, list(range(n)))
    assert found.value == found.high == 1.0
    # gains: the mid-P limit of n of n, .05^(1/n); losses: that of 0 of n, 1 - .05^(1/n); joined by the root of their squares
    assert found.low == pytest.approx(1 - np.sqrt(2) * (1 - 0.05 ** (1 / n)), abs=1e-6)


@pytest.mark.parametrize("n", [8, 32, 128])
@pytest.mark.parametrize("clusters", [1, 4])
def test_equal_differences_between_the_bounds_are_not_certain(n, clusters):
    found = paired([0.9] * n, [0.4] * n, [i // clusters for i in range(n)])
    unseen = 1 - 0.05 ** (1 / (n // clusters if n // clusters >= 5 else n))  # no other difference in so many clusters
    assert -1.0 <= found.low <= 0.5 - unseen
    assert 0.5 + 0.5 * unseen - 1e-6 <= found.high <= 1.0
    nearly = paired([0.9] * n, [0.4] * (n - 1) + [0.9], list(range(n)))
    assert nearly.low < nearly.value < nearly.high


def test_nearly_equal_differences_are_covered():
    """Of the pairs, 97 % differ by .5 and the others by -.3: a sample of 64 often shows none or one of those."""
    rng = np.random.default_rng(8)
    true, covered = 0.97 * 0.5 - 0.03 * 0.3, 0
    for _ in range(200):
        same = rng.random(64) < 0.97
        _, low, high = difference(np.where(same, 0.9, 0.3), np.where(same, 0.4, 0.6), list(range(64)), resamples=200)
        covered += low <= true <= high
    assert covered / 200 >= 0.93


@pytest.mark.parametrize(("clusters", "least"), [(5, 0.0625), (6, 0.03125), (40, 1 / 10_001)])
def test_the_smallest_p_that_the_test_can_give_is_in_the_result(clusters, least):
    a, b = [0.9, 0.7] * clusters, [0.4, 0.6] * clusters
    found = paired(a, b, [i // 2 for i in range(2 * clusters)])
    assert found.p == found.least_p == pytest.approx(least)
    assert bool(found.note) == (least >= 0.05)
    assert paired([1.0] * 4 + [0.0] * 60, [0.0] * 64, list(range(64))).note  # four pairs differ: McNemar cannot reach .05
    assert not paired([1.0] * 6 + [0.0] * 60, [0.0] * 66, list(range(66))).note


@pytest.mark.parametrize(("n", "wins"), [(10, 0.99), (40, 0.95), (128, 0.99)])
def test_a_difference_near_one_is_covered(n, wins):
    rng = np.random.default_rng(n)
    covered = 0
    for _ in range(200):
        found = paired((rng.random(n) < wins).astype(float), np.zeros(n), list(range(n)), resamples=200)
        covered += found.low <= wins <= found.high
    assert covered / 200 >= 0.93


def test_a_difference_of_gains_only_keeps_its_lower_limit_below_the_value():
    found = paired([1.0] * 128, [1.0] * 120 + [0.0] * 8, list(range(128)))
    assert 0.0 < found.low < 8 / 128 < found.high
    assert found.p == pytest.approx(2 / 2**8)


def test_under_no_difference_the_test_rejects_at_most_at_its_level():
    rng = np.random.default_rng(2)
    rejected = covered = 0
    for _ in range(300):
        same = (rng.random(60) < 0.6).astype(float)
        a, b = same.copy(), same.copy()
        unequal = rng.random(60) < 0.3
        a[unequal] = (rng.random(unequal.sum()) < 0.5).astype(float)
        b[unequal] = (rng.random(unequal.sum()) < 0.5).astype(float)
        found = paired(a, b, list(range(60)), resamples=500)
        rejected += found.p <= 0.05
        covered += found.low - 1e-9 <= 0.0 <= found.high + 1e-9
    assert rejected / 300 <= 0.07
    assert covered / 300 >= 0.93


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 12)),
        min_size=1,
        max_size=40,
    )
)
def test_swapping_the_agents_mirrors_the_difference(rows):
    a, b, labels = (list(column) for column in zip(*rows, strict=True))
    one, other = paired(a, b, labels, resamples=200), paired(b, a, labels, resamples=200)
    assert -1.0 <= one.low <= one.value <= one.high <= 1.0
    assert 0.0 < one.p <= 1.0
    assert one.value == pytest.approx(-other.value)
    assert one.p == pytest.approx(other.p)
    if one.clusters < 30 and not one.within_stream:
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-8)


def test_bad_input_is_one_line():
    with pytest.raises(UsageError, match="paired: 2, 1 values for 2 cluster labels"):
        paired([1.0, 0.0], [1.0], ["a", "b"])


def test_holm_worked_by_hand_and_in_the_order_given():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3 x .01, 2 x .03, then max(.06, 1 x .04)
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(UsageError, match="p-value 2 is 1.5"):
        holm([0.1, 1.5])


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= q <= 1.0 for p, q in zip(p_values, adjusted, strict=True))
    assert all(q <= min(1.0, len(p_values) * p) + 1e-12 for p, q in zip(p_values, adjusted, strict=True))
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in ranked] == sorted(q for _, q in ranked)


def test_only_a_p_below_the_level_tells_agents_apart():
    assert [tells_apart(p) for p in (0.0, 0.0499, 0.05, 0.0501, 1.0)] == [True, True, False, False, False]
