"""Confidence intervals of a mean over questions that come in clusters (validity section 1).

`G` is the number of clusters. G >= 30: percentile cluster bootstrap. 5 <= G < 30: cluster-robust t, on the logit scale where
scores have bounds. G < 5: the same over questions, marked `within_stream`, because it says nothing about other streams.
Scores in [0, 1] have limits inside [0, 1]. Both methods are far too narrow near 0 and 1, and where nearly all scores are
equal; there the limits are widened (`_near_a_bound`, `nearly_constant`). Simulated coverage of the 95 % interval is 92 to
98 % away from the bounds and at least 92 % near them, where it reaches 100 %: for G from 5 to 128, clusters of 1 to 25
questions, and correlations inside clusters up to 0.5 (tests/stats/test_intervals.py).

Repeats: average each question's repeats first (`average_repeats`). The interval then resamples clusters with all their
repeats; three repeats of 128 questions are 128 values.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from memeval.errors import UsageError
from memeval.stats.distributions import NORMAL, binomial_limits, t_quantile

Floats = NDArray[np.float64]
Q = TypeVar("Q", bound=Hashable)

MANY_CLUSTERS, FEW_CLUSTERS = 30, 5
RESAMPLES = 4000
SEED = 0
NEAR = 10.0
"""A mean is near a bound if the effective number of right (or wrong) answers is below this, or below that of clusters."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval: `value`, `low` <= value <= `high` in the unit of the values; `n` values in `clusters`.

    method: `bootstrap` or `t`, with `+midp` where a limit was widened. within_stream: there are fewer than five clusters, so
    the interval holds only for other questions in these streams.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int
    method: str
    within_stream: bool


@dataclass(frozen=True, slots=True)
class Groups:
    """Values summed by cluster: the `sums` and `sizes` of the clusters, both in the order of the labels."""

    sums: Floats
    sizes: Floats

    @property
    def n(self) -> float:
        return float(self.sizes.sum())

    @property
    def mean(self) -> float:
        return float(self.sums.sum()) / self.n

    @property
    def mean_size(self) -> float:
        """The expected size of a random question's cluster: the design effect at full correlation."""
        return float((self.sizes**2).sum()) / self.n

    @property
    def effective(self) -> float:
        """Kish's effective number of clusters, n^2 / sum of squared sizes: G if all have the same size."""
        return self.n / self.mean_size


def average_repeats(rows: Iterable[tuple[Q, float | None]]) -> dict[Q, float]:
    """question -> the mean over its repeats, in order of first appearance. rows: (question, score) of each repeat; None
    where the metric does not apply to the question.

    Do this before every interval and every pairing: three repeats of 128 questions are 128 values, never 384.
    """
    scores: dict[Q, list[float]] = {}
    for question, score in rows:
        if score is not None:
            scores.setdefault(question, []).append(score)
    return {question: fmean(values) for question, values in scores.items()}


def interval(
    values: Sequence[float], clusters: Sequence[Hashable], confidence: float = 0.95, resamples: int = RESAMPLES
) -> Interval:
    """The mean of `values` (one per question) and its interval; `clusters` labels the cluster of each value.

    The order of the values does not matter, and the same input gives the same interval. A one-sided bound at level
    1 - alpha is an end of the interval with confidence 1 - 2 alpha. Raises UsageError when there are no values, the two
    lists differ in length, or a value is not a finite number.
    """
    data, labels = checked("interval", clusters, values)
    groups, found = grouped(data, labels)
    if ((data >= 0) & (data <= 1)).all():
        low, high, method = limits(groups, confidence, resamples, (0.0, 1.0), _near_a_bound(groups, confidence))
    else:
        low, high, method = limits(groups, confidence, resamples)
    return Interval(groups.mean, low, high, len(data), found, method, found < FEW_CLUSTERS)


def checked(where: str, clusters: Sequence[Hashable], *columns: Sequence[float]) -> Any:
    """Check the columns, and return them as arrays, followed by the labels as ranks. where: for messages. Raises UsageError
    as `interval` does."""
    if len(clusters) == 0 or any(len(column) != len(clusters) for column in columns):
        sizes = ", ".join(str(len(column)) for column in columns)
        raise UsageError(
            f"{where}: {sizes} values for {len(clusters)} cluster labels; give one of each per question, at least one"
        )
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    for array in arrays:
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise UsageError(f"{where}: value {int(bad[0]) + 1} is {array[bad[0]]}; every value must be a finite number")
    ranks = {label: rank for rank, label in enumerate(sorted(set(clusters), key=lambda label: (str(label), repr(label))))}
    return *arrays, np.array([ranks[label] for label in clusters])


def grouped(values: Floats, labels: NDArray[np.int64]) -> tuple[Groups, int]:
    """(the values by cluster, or by question if there are fewer than five clusters; the number of clusters)"""
    found = int(labels.max()) + 1
    order = np.lexsort((values, labels))  # a sum must not depend on the order of the rows
    values, labels = values[order], labels[order]
    if found < FEW_CLUSTERS:
        return Groups(np.sort(values), np.ones(len(values))), found
    return Groups(np.bincount(labels, values).astype(np.float64), np.bincount(labels).astype(np.float64)), found


def limits(
    groups: Groups,
    confidence: float,
    resamples: int,
    bounds: tuple[float, float] | None = None,
    near_a_bound: tuple[float, float] | None = None,
) -> tuple[float, float, str]:
    """(low, high, method), by the cluster rule, and widened where bounded values are near a bound or nearly all equal; the
    mean is between them. bounds: the lowest and highest possible value, if any. near_a_bound: limits for a mean near one."""
    wide = (near_a_bound or nearly_constant(groups, confidence, bounds)) if bounds else None
    low, high, method = _by_clusters(groups, confidence, resamples, bounds, wide is not None)
    if wide and (wide[0] < low or wide[1] > high):
        low, high, method = min(low, wide[0]), max(high, wide[1]), f"{method}+midp"
    if bounds:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return min(low, groups.mean), max(high, groups.mean), method


def _by_clusters(
    groups: Groups, confidence: float, resamples: int, bounds: tuple[float, float] | None, widened: bool
) -> tuple[float, float, str]:
    """(low, high, method) by the cluster rule alone. widened: the caller widens the limits."""
    count = len(groups.sums)
    if count == 1:  # one value says nothing about its spread
        return -math.inf, math.inf, "none"
    # Equal sizes: G - 1 degrees of freedom. Unequal sizes carry less information, and G - 1 would cover too rarely
    # (measured: 86 % at G = 10 with lognormal sizes), so Kish's effective number of clusters is used for G.
    quantile = t_quantile(0.5 + confidence / 2, max(groups.effective - 1, 1.0))
    error = math.sqrt(jackknife_variance(groups))
    if count < MANY_CLUSTERS:
        return *_t_limits(groups.mean, quantile * error, bounds), "t"
    # The bootstrap's own spread is too small by (G - 1) / G and has normal tails: its levels are moved outward so that on
    # symmetric data it equals the t interval (the expanded percentile interval of Hesterberg 2015, Am. Stat. 69:371).
    residuals = groups.sums - groups.mean * groups.sizes
    spread = math.sqrt(float((residuals**2).sum())) / groups.n
    level = NORMAL.cdf(-quantile * error / spread) if spread > 0 else 0.5
    low, high = (float(end) for end in np.quantile(_resampled_means(groups, resamples), [level, 1 - level]))
    if bounds and not widened:  # for an off-centre mean the percentile interval is too short on its longer side
        other = _t_limits(groups.mean, quantile * error, bounds)
        low, high = min(low, other[0]), max(high, other[1])
    return low, high, "bootstrap"


def _t_limits(mean: float, half: float, bounds: tuple[float, float] | None) -> tuple[float, float]:
    """mean -+ half; with bounds, on the logit scale, where the sampling distribution of an off-centre mean is about
    symmetric, so that each limit also keeps its level (the usual interval of survey proportions: Korn and Graubard 1999,
    Analysis of Health Surveys, 2.8; in simulations the upper limit misses a rate of .3 in at most 3.5 % of samples,
    nominally 2.5 %).
    """
    if bounds is None or not bounds[0] < mean < bounds[1]:
        return mean - half, mean + half
    width = bounds[1] - bounds[0]
    share = (mean - bounds[0]) / width
    centre, reach = math.log(share / (1 - share)), half / width / (share * (1 - share))
    low, high = (0.5 + 0.5 * math.tanh((centre + side) / 2) for side in (-reach, reach))  # the inverse logit
    return bounds[0] + width * low, bounds[0] + width * high


def jackknife_variance(groups: Groups) -> float:
    """The delete-one-cluster jackknife variance of the ratio mean (CR3: Bell and McCaffrey 2002; MacKinnon, Nielsen and
    Webb 2023). With equal sizes it is the usual variance of the cluster means over G."""
    count, n, total = len(groups.sums), groups.n, float(groups.sums.sum())
    without = (total - groups.sums) / (n - groups.sizes)
    return (count - 1) / count * float(((without - groups.mean) ** 2).sum())


def _resampled_means(groups: Groups, resamples: int) -> Floats:
    count = len(groups.sums)
    block = max(1, 2_000_000 // count)  # keeps memory below some 20 MB however many clusters there are
    parts = []
    for start in range(0, resamples, block):
        drawn = _draw(count, start, min(block, resamples - start))
        # einsum reads the small integers as they are; a matrix product would copy them to floats and start BLAS threads
        sums, sizes = (np.einsum("rg,g->r", drawn, column) for column in (groups.sums, groups.sizes))
        some = sizes > 0  # in a ratio of means (lifts.py) a draw may have no weight at all
        parts.append(sums[some] / sizes[some])
    return np.concatenate(parts)


@lru_cache(maxsize=32)  # the metrics of a table over the same clusters draw once; 2 MB each, 20 for 10,000 clusters
def _draw(count: int, start: int, rows: int) -> NDArray[np.uint8]:
    """How often each cluster is drawn (never 256 times): shape (rows, count), each row a draw with replacement."""
    picks = np.random.default_rng([SEED, count, start]).integers(0, count, size=(rows, count))
    picks += np.arange(rows)[:, None] * count
    return np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count).astype(np.uint8)


def effective_answers(groups: Groups, variance: float, rare: float) -> float:
    """The effective number of independent answers: n / (1 + rho (mean_size - 1)).

    `variance` is that of one answer if all were independent; `rare` is the number of informative answers (the fewer of right
    and wrong ones; for differences the unequal pairs). rho, the correlation inside clusters, follows from the ratio of the
    jackknife variance to the independent one (the design effect: Rao and Scott 1992). A few answers cannot show how they
    cluster, so rho is shrunk towards 1 with the weight of two answers: if all are right, every cluster counts once.
    """
    n, size = groups.n, groups.mean_size
    if size <= 1:
        return n
    design = jackknife_variance(groups) * n / variance if variance > 0 and len(groups.sums) > 1 else 1.0
    rho = (rare * min(max((design - 1) / (size - 1), 0.0), 1.0) + 2.0) / (rare + 2.0)
    return n / (1 + rho * (size - 1))


def near(answers: float, share: float, groups: Groups) -> bool:
    """Whether `share` of the effective answers is too few for the cluster rule: fewer than ten, or than G if G < 10."""
    return answers * share < min(NEAR, len(groups.sums))


def _near_a_bound(groups: Groups, confidence: float) -> tuple[float, float] | None:
    """Binomial limits at the effective number of answers (the method of Korn and Graubard 1998, Survey Methodology 24:193)
    where right or wrong answers are few, else None.

    There the bootstrap and t are too narrow, and empty if all answers are right. The limits are only used to widen the
    interval, so its coverage is at least nominal; it is higher, because few discrete outcomes are possible.
    """
    mean = groups.mean
    share = min(mean, 1 - mean)
    answers = effective_answers(groups, mean * (1 - mean), groups.n * share)
    return binomial_limits(mean * answers, answers, confidence) if near(answers, share, groups) else None


def nearly_constant(groups: Groups, confidence: float, bounds: tuple[float, float]) -> tuple[float, float] | None:
    """Limits where fewer than ten clusters, and fewer than a fifth, have another mean than the most common one; else None.

    Such data hardly show how much other clusters may differ, and an interval from their spread can be empty. The share of
    clusters that differ has a mid-P upper limit, and clusters that were not seen may be at either bound.
    """
    count = len(groups.sums)
    means, times = np.unique((groups.sums / groups.sizes).round(9), return_counts=True)
    others = count - int(times.max())
    if others >= min(NEAR, count / 5):
        return None
    common = float(means[times.argmax()])
    unseen = binomial_limits(others, count, confidence)[1] - others / count
    return groups.mean - unseen * (common - bounds[0]), groups.mean + unseen * (bounds[1] - common)
