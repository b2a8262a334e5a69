"""Ratios of means over the same questions: lift, an agent's share of the gain that a perfect memory would bring (validity
section 2), and growth."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from memeval.stats.comparisons import Difference, difference, paired
from memeval.stats.intervals import FEW_CLUSTERS, NEAR, RESAMPLES, Floats, Groups, checked, limits

LEAST_ROOM = 0.05
"""If `oracle - none` may be this small, there is no lift: the ratio would mean nothing."""


@dataclass(frozen=True, slots=True)
class Lift:
    """(agent - none) / (oracle - none) with its interval: 0 as good as an empty memory, 1 as good as the gold evidence.

    It is not clipped to 0..1, and must not be averaged over tasks or used for ranking. None where `room` is too small. room:
    oracle - none, with the number of questions and clusters.
    """

    value: float | None
    low: float | None
    high: float | None
    room: Difference


def lift(
    agent: Sequence[float],
    none: Sequence[float],
    oracle: Sequence[float],
    clusters: Sequence[Hashable],
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Lift:
    """The lift over the same questions, each with the scores (0 to 1) of three runs, repeats already averaged.

    A ratio of means is a mean of gains weighted by room, so the interval is that of `interval` with `oracle - none` in place
    of cluster sizes: clusters are drawn with the scores of all three runs. Where the agent differs from a control in only a
    few clusters, the interval is widened by the limits of that difference. There is no value where the lower limit of
    oracle - none is at most LEAST_ROOM. Raises UsageError as `interval` does.
    """
    ours, floor, top = sums("lift", clusters, agent, none, oracle)
    room = paired(oracle, none, clusters, confidence, resamples)
    if room.low <= LEAST_ROOM:
        return Lift(None, None, None, room)
    groups = Groups(ours - floor, top - floor)
    low, high, _ = limits(groups, confidence, resamples)
    for control, level, its in ((none, 0.0, floor), (oracle, 1.0, top)):
        if int((np.abs(ours - its) > 1e-12).sum()) < min(NEAR, len(its)):
            _, least, most = difference(agent, control, clusters, confidence, resamples)
            low, high = min(low, level + least / room.value), max(high, level + most / room.value)
    return Lift(groups.mean, low, high, room)


def growth(
    values: Sequence[float],
    base: Sequence[float],
    clusters: Sequence[Hashable],
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """(growth, low, high): by which fraction of the sum of `base` that of `values` exceeds it (.2 = a fifth more), paired by
    question; all values are at least 0. If only the sum of `base` is 0, growth is infinite. Raises UsageError as `interval`
    does."""
    ours, theirs = sums("growth", clusters, values, base)
    if not theirs.sum():
        value = math.inf if ours.sum() else 0.0
        return value, value, value
    if np.count_nonzero(theirs) == 1:  # one value says nothing about its spread
        return float(ours.sum() / theirs.sum()) - 1, -math.inf, math.inf
    groups = Groups(ours, theirs)
    low, high, _ = limits(groups, confidence, resamples)
    return groups.mean - 1, low - 1, high - 1


def sums(where: str, clusters: Sequence[Hashable], *columns: Sequence[float]) -> list[Floats]:
    """The sums of each column by cluster, or the columns themselves if there are fewer than five clusters. The order of the
    questions does not matter. Raises UsageError as `interval` does."""
    found = checked(where, clusters, *columns)
    *ordered, labels = (column[np.lexsort(found)] for column in found)
    units = np.arange(len(labels)) if int(labels.max()) + 1 < FEW_CLUSTERS else labels
    return [np.bincount(units, column).astype(np.float64) for column in ordered]
