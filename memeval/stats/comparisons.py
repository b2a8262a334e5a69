"""Is one agent better than another on the same questions? Comparisons are paired by question, and by cluster where questions
share a stream (validity section 1)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from memeval.errors import UsageError
from memeval.stats.distributions import beta_cdf, binomial_limits
from memeval.stats.intervals import (
    FEW_CLUSTERS,
    RESAMPLES,
    SEED,
    Floats,
    Groups,
    checked,
    effective_answers,
    grouped,
    limits,
    near,
)

LEVEL = 0.05
"""The level of significance (`tells_apart`)."""
EXACT_CLUSTERS, DRAWS = 14, 10_000
"""Up to EXACT_CLUSTERS clusters that differ, all sign patterns are enumerated; beyond that, DRAWS patterns are drawn."""


@dataclass(frozen=True, slots=True)
class Difference:
    """mean(a) - mean(b) over the same questions, with its interval and the two-sided p-value of `no difference`.

    method: the test, `mcnemar` or `sign-flip`. within_stream: there are fewer than five clusters, so interval and p hold
    only for other questions in these streams. least_p: the smallest p that the test can give with this number of clusters
    (or pairs) that differ; with five clusters it is .0625.
    """

    value: float
    low: float
    high: float
    p: float
    method: str
    n: int
    clusters: int
    within_stream: bool
    least_p: float

    @property
    def note(self) -> str:
        """A warning that the test cannot reject at .05, whatever the scores; empty where it can."""
        if tells_apart(self.least_p):
            return ""
        return f"too few differences for a p below {self.least_p:.4g}; the interval decides"


def paired(
    a: Sequence[float],
    b: Sequence[float],
    clusters: Sequence[Hashable],
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Difference:
    """Compare two agents: `a[i]` and `b[i]` are their scores on question i, repeats already averaged.

    Test: exact McNemar for scores of 0 and 1 with one question per cluster; otherwise the signs of whole clusters are
    flipped: all patterns up to 2^14, else 10,000 seeded ones. Interval: that of `difference`; being another method, it may
    disagree with the test near the level. Raises UsageError as `interval` does.
    """
    value, low, high = difference(a, b, clusters, confidence, resamples)
    delta, scores, groups, found = _differences(a, b, clusters)
    if len(groups.sums) == len(delta) and bool(((scores == 0) | (scores == 1)).all()):
        gains, losses = int((delta > 0).sum()), int((delta < 0).sum())
        p, least, method = mcnemar(gains, losses), mcnemar(gains + losses, 0), "mcnemar"
    else:
        (p, least), method = _sign_flip(groups.sums), "sign-flip"
    return Difference(value, low, high, p, method, len(delta), found, found < FEW_CLUSTERS, least)


def difference(
    a: Sequence[float],
    b: Sequence[float],
    clusters: Sequence[Hashable],
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """(mean(a) - mean(b), low, high), by the cluster rule of `interval` applied to the differences, without a test.

    A one-sided bound at level 1 - alpha is an end of the interval with confidence 1 - 2 alpha. Raises UsageError as
    `interval` does.
    """
    delta, scores, groups, _ = _differences(a, b, clusters)
    if ((scores >= 0) & (scores <= 1)).all():
        near_a_bound = _near_a_bound(groups, float(np.abs(delta).mean()), confidence)
        low, high, _ = limits(groups, confidence, resamples, (-1.0, 1.0), near_a_bound)
    else:
        low, high, _ = limits(groups, confidence, resamples)
    return groups.mean, low, high


def _differences(a: Sequence[float], b: Sequence[float], clusters: Sequence[Hashable]) -> tuple[Floats, Floats, Groups, int]:
    """(the difference of each question, the scores of both agents, the differences by cluster, the number of clusters)"""
    left, right, labels = checked("paired", clusters, a, b)
    delta = left - right
    return delta, np.concatenate([left, right]), *grouped(delta, labels)


def tells_apart(p: float) -> bool:
    """Whether a p-value, adjusted if there are several, tells two agents apart: it must be below LEVEL."""
    return p < LEVEL


def mcnemar(gains: int, losses: int) -> float:
    """Exact two-sided McNemar test: the p-value of `gains` and `losses`, if each pair that differs is a fair coin.

    Twice the smaller binomial tail, at most 1 (McNemar 1947; exact form in Agresti, Categorical Data Analysis, 10.1.4).
    """
    fewer, pairs = min(gains, losses), gains + losses
    if pairs == 0:
        return 1.0
    return min(1.0, 2.0 * beta_cdf(0.5, pairs - fewer, fewer + 1))


def _sign_flip(sums: Floats) -> tuple[float, float]:
    """(the two-sided p of the sum of cluster differences if each cluster's sign is a fair coin, the smallest possible p).

    The observed pattern is counted among the drawn ones, so that p is never 0 (Phipson and Smyth 2010).
    """
    sums = sums[np.abs(sums) > 1e-12]  # a cluster without difference is the same under both signs
    count = len(sums)
    if count == 0:
        return 1.0, 1.0
    observed = abs(float(sums.sum())) - 1e-9 * float(np.abs(sums).sum())  # so that ties count despite rounding
    if count <= EXACT_CLUSTERS:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
        return float((np.abs((1 - 2 * bits) @ sums) >= observed).mean()), 2.0 / 2**count
    rng = np.random.default_rng([SEED, count])
    extreme, block = 0, max(1, 4_000_000 // count)
    for start in range(0, DRAWS, block):
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(min(block, DRAWS - start), count), dtype=np.int8)
        extreme += int((np.abs(signs @ sums) >= observed).sum())
    return (extreme + 1) / (DRAWS + 1), 1 / (DRAWS + 1)


def _near_a_bound(groups: Groups, unequal: float, confidence: float) -> tuple[float, float] | None:
    """Limits of a difference of scores in [0, 1] where few pairs differ, or nearly all differ the same way by 1; else None.

    `unequal` is the mean absolute difference. Two agents that tie on every question must not get [0, 0], nor an agent that
    wins every question [1, 1]. Gains and losses each get binomial limits at the effective number of answers, and these are
    combined into limits of their difference (MOVER: Zou and Donner 2008, Stat. Med. 27:1693).
    """
    mean = groups.mean
    gain, loss = (unequal + mean) / 2, (unequal - mean) / 2
    rare = min(unequal, 1 - max(gain, loss))
    answers = effective_answers(groups, unequal - mean * mean, groups.n * rare)
    if not near(answers, rare, groups):
        return None
    gain_low, gain_high = binomial_limits(gain * answers, answers, confidence)
    loss_low, loss_high = binomial_limits(loss * answers, answers, confidence)
    return mean - math.hypot(gain - gain_low, loss_high - loss), mean + math.hypot(gain_high - gain, loss - loss_low)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment for several comparisons, in the order given (Holm 1979, Scand. J. Stat. 6:65).

    Raises UsageError for a value outside [0, 1].
    """
    for position, p in enumerate(p_values, start=1):
        if not 0.0 <= p <= 1.0:
            raise UsageError(f"holm: p-value {position} is {p}; expected a number from 0 to 1")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
