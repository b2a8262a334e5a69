"""Averages over the tasks of a suite, as papers print them: the plain mean of the tasks' headlines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from memeval.records.averages import Average, of_values
from memeval.records.numbers import percent, percents
from memeval.records.rows import QuestionRow
from memeval.records.summary import Summary
from memeval.results.columns import columns
from memeval.results.run_table import label
from memeval.stats import interval


class Mean(msgspec.Struct, frozen=True):
    """A mean of headlines with its interval, and the number of tasks behind it."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    tasks: int = 0


class SuiteMean(Mean, frozen=True, kw_only=True):
    """The mean of one agent (with its parameters) over the tasks of one suite.

    missing: tasks without a result; the value is then the mean of the other tasks. leaked, in_domain: tasks for which a
    model of the row was trained on the questions, or on similar ones. without_leaked: the mean without leaked tasks;
    without_trained: without both. Each is None where no task is left out, or none is left.
    """

    suite: str
    agent: str
    params: dict[str, Any]
    label: str
    rule: str
    leaked: tuple[str, ...] = ()
    in_domain: tuple[str, ...] = ()
    without_leaked: Mean | None = None
    without_trained: Mean | None = None
    missing: tuple[str, ...] = ()


def suite_means(suite: str, tasks: Sequence[str], runs: Sequence[Summary]) -> list[SuiteMean]:
    """One row per agent (with its parameters): the mean of its tasks' headlines (`mean_of`)."""
    rows = []
    mine = [run for run in runs if run.task in tasks]
    for key in dict.fromkeys((run.agent, str(run.params)) for run in mine):
        parts = [run for run in mine if (run.agent, str(run.params)) == key]
        scored = [run for run in parts if run.headline.value is not None and run.status == "complete"]
        leaked, related = _marked(scored, "leaked"), _marked(scored, "in-domain")
        metrics = ", ".join(dict.fromkeys(run.headline.metric for run in scored)) or "none yet"
        rows.append(
            SuiteMean(
                **msgspec.structs.asdict(mean_of([run.headline for run in scored])),
                suite=suite,
                agent=parts[0].agent,
                params=parts[0].params,
                label=label(parts[0], mine),
                rule=f"plain mean of the tasks' headlines ({metrics}), each task counting the same; "
                "its interval takes tasks as independent",
                leaked=leaked,
                in_domain=related,
                without_leaked=_without(scored, leaked),
                without_trained=_without(scored, (*leaked, *related)),
                missing=tuple(task for task in tasks if task not in {run.task for run in scored}),
            )
        )
    return rows


def _marked(runs: Sequence[Summary], mark: str) -> tuple[str, ...]:
    return tuple(run.task for run in runs if run.trained_on and run.trained_on.mark == mark)


def _without(runs: Sequence[Summary], tasks: Sequence[str]) -> Mean | None:
    left = [run for run in runs if run.task not in tasks]
    return mean_of([run.headline for run in left]) if 0 < len(left) < len(runs) else None


def mean_of(averages: Sequence[Average]) -> Mean:
    """The plain mean of one average per task, each task counting the same.

    The interval treats the tasks as independent: half-widths, the lower and the upper ones separately, are added in
    quadrature and divided by the number of tasks.
    """
    parts = [
        (row.value, row.low, row.high)
        for row in averages
        if row.value is not None and row.low is not None and row.high is not None
    ]
    if not parts:
        return Mean()
    count = len(parts)
    value = sum(middle for middle, _, _ in parts) / count
    low = value - math.hypot(*(middle - low for middle, low, _ in parts)) / count
    high = value + math.hypot(*(high - middle for middle, _, high in parts)) / count
    return Mean(value, max(0.0, low), min(1.0, high), count)


def mean_of_values(tasks: Sequence[tuple[Mapping[str, float], Mapping[str, QuestionRow]]]) -> Mean:
    """The plain mean of the tasks' means. tasks: for each, one value per question, and its questions.

    Clusters that occur in several tasks (the same questions in longer streams, the same personas) are resampled together:
    each task's values are weighted so that the tasks count the same, and pooled by cluster. Without such clusters the tasks
    are independent (`mean_of`).
    """
    labels = [[questions[key].cluster for key in values] for values, questions in tasks]
    if not tasks or len({*chain(*labels)}) == sum(len(set(of)) for of in labels):
        return mean_of([of_values(values, questions) for values, questions in tasks])
    pooled = sum(len(values) for values, _ in tasks)
    weighted = [score * pooled / len(tasks) / len(values) for values, _ in tasks for score in values.values()]
    found = interval(weighted, [*chain(*labels)])
    return Mean(found.value, max(0.0, found.low), min(1.0, found.high), len(tasks))


def suites_table(rows: Sequence[SuiteMean], width: int | None = None) -> str:
    """A table with a row per suite and agent, which names missing tasks. Below it are the rule of each suite's mean, and the
    means without the tasks on which a model was trained."""
    body = [
        [row.suite, row.label, percent(row.value), percents(row.low, row.high), row.tasks, ", ".join(row.missing) or "-"]
        for row in rows
    ]
    header = ["suite", "agent", "mean", "95% interval", "tasks", "missing"]
    align = ("left", "left", "right", "left", "right", "left")
    notes = list(dict.fromkeys(f"{row.suite}: {row.rule}" for row in rows))
    for row in rows:
        both = "leaked and in-domain" if row.leaked else "in-domain"
        if row.leaked:
            notes.append(_note(row, "leaked", row.leaked, row.without_leaked))
        if row.in_domain:
            notes.append(_note(row, both, (*row.leaked, *row.in_domain), row.without_trained))
    return "\n".join([columns(header, body, align, keep=header[:3], width=width), "", *notes])


def _note(row: SuiteMean, kind: str, tasks: Sequence[str], mean: Mean | None) -> str:
    rest = f"{percent(mean.value)} ({percents(mean.low, mean.high)}), tasks {mean.tasks}" if mean else "no task is left"
    return f"{row.suite}, {row.label}: without the {kind} {', '.join(tasks)}: {rest}"
