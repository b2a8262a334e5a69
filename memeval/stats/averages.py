"""Averages over repeats, and over questions of which some failed."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from memeval.errors import UsageError

Q = TypeVar("Q", bound=Hashable)


@dataclass(frozen=True, slots=True)
class FailureBounds:
    """A headline with failed questions counted 0, and what it would be had all of them been wrong or right."""

    value: float
    all_wrong: float
    all_right: float


def average_repeats(rows: Iterable[tuple[Q, Hashable, float | None]]) -> dict[Q, float]:
    """One number per question, in order of first appearance: the mean of the repeats it has. rows: (question, repeat,
    score); None where the metric does not apply to the question.

    This comes before every interval and every pairing: three repeats of 128 questions are 128 numbers, never 384.
    """
    scores: dict[Q, list[float]] = {}
    for question, _, score in rows:
        if score is not None:
            scores.setdefault(question, []).append(score)
    return {question: fmean(values) for question, values in scores.items()}


def failure_bounds(total: float, n: int, failed: int) -> FailureBounds:
    """`total` = sum of the scores (each in 0..1) of the questions that did not fail; `n` counts all, `failed` among them.

    Raises UsageError when the counts contradict each other.
    """
    if n < 1 or not 0 <= failed <= n or not -1e-9 <= total <= n - failed + 1e-9 or not math.isfinite(total):
        raise UsageError(f"failure_bounds: scores sum to {total} over {n} questions of which {failed} failed: impossible")
    return FailureBounds(total / n, total / n, (total + failed) / n)
