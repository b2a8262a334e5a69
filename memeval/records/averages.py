"""A mean over questions as it is stored and printed: with n, its interval and the rule of the interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from memeval.records.rows import QuestionRow, ScoreRow
from memeval.stats import average_repeats, interval


class Average(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with its 95 % interval, as fractions; None without questions. n: questions, in `clusters`. rule: how the
    interval was computed. within_stream: too few clusters to generalise to other streams."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    clusters: int = 0
    rule: str = ""
    within_stream: bool = False


class MetricAverage(Average, frozen=True, kw_only=True):
    """An average with the name of its metric."""

    metric: str


def average(scores: Iterable[ScoreRow], questions: Mapping[str, QuestionRow], metric: str) -> Average:
    """The average of a metric over the scores that have it: a question's repeats are averaged first, and the interval
    resamples clusters of questions."""
    values = average_repeats((row.question_id, row.metrics.get(metric)) for row in scores)
    return of_values(values, questions)


def of_values(values: Mapping[str, float], questions: Mapping[str, QuestionRow]) -> Average:
    """The average of one value per question."""
    if not values:
        return Average()
    found = interval(list(values.values()), [questions[key].cluster for key in values])
    return Average(
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        clusters=found.clusters,
        rule=found.method,
        within_stream=found.within_stream,
    )


def bounds(scores: Iterable[ScoreRow], metric: str) -> tuple[float, float] | None:
    """The mean of a metric with all failed samples wrong, and with all of them right; None if no sample failed."""
    counted = [row for row in scores if metric in row.metrics]
    failed, total = sum(row.verdict == "failed" for row in counted), sum(row.metrics[metric] for row in counted)
    return (total / len(counted), (total + failed) / len(counted)) if failed else None


def plain(found: Average) -> Average:
    """The plain `Average` of a record of a subclass."""
    return Average(**{name: getattr(found, name) for name in Average.__struct_fields__})


def named(metric: str, found: Average) -> MetricAverage:
    return MetricAverage(metric=metric, **msgspec.structs.asdict(plain(found)))
