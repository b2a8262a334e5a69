"""Runs as pandas tables: a row per run, per answer, or per memory operation. docs/python.md lists the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from memeval.errors import UsageError, suggest
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, ScoreRow, ToolRow, Usage

if TYPE_CHECKING:
    import pandas as pd

    from memeval.results.run import Run

Level = Literal["run", "question", "operation"]
Source = TypeVar("Source")


class Column(NamedTuple, Generic[Source]):
    """A column of a table. dtype: of pandas; whole numbers that may be unknown are floats, with NaN. value: computes the
    column's value from a run, an answer or an operation."""

    dtype: str
    value: Callable[[Source], Any]


class Answer(NamedTuple):
    """The source of a row of level `question`. score: by the task's metrics; headline: the value of the run's headline."""

    sample: SampleRow
    question: QuestionRow
    score: ScoreRow | None
    headline: float | None


class Operation(NamedTuple):
    """The source of a row of level `operation`: a memory operation, or a chunk without any (result is None), so that every
    chunk has a row with the memory's size. Calls and tokens of a chunk are in its first row."""

    step: OperationRow
    result: ToolRow | None
    first: bool

    @property
    def used(self) -> Usage:
        return sum(self.step.tokens.values(), Usage()) if self.first else Usage()

    @property
    def effect(self) -> dict[str, Any]:
        return (self.result and self.result.effect) or {}


OF_THE_RUN: dict[str, Column[Run]] = {
    "path": Column("object", lambda run: str(run.path)),
    "task": Column("object", lambda run: run.task),
    "agent": Column("object", lambda run: run.agent),
    "label": Column("object", lambda run: run.label or None),
    "tag": Column("object", lambda run: run.tag or None),
    "model": Column("object", lambda run: run.model),
}
"""The first columns at every level."""

RUN: dict[str, Column[Run]] = {
    "reader": Column("object", lambda run: run.summary.reader),
    "embedder": Column("object", lambda run: run.summary.embedder),
    "judge": Column("object", lambda run: run.summary.judge and run.summary.judge.judge),
    "params": Column("object", lambda run: ", ".join(f"{key}={value}" for key, value in run.summary.params.items())),
    "answer_budget": Column("float64", lambda run: run.summary.answer_budget),
    "seed": Column("int64", lambda run: run.manifest.seed),
    "when": Column("datetime64[ns, UTC]", lambda run: run.when),
    "status": Column("object", lambda run: run.summary.status),
    "metric": Column("object", lambda run: run.summary.headline.metric),
    "score": Column("float64", lambda run: run.summary.headline.value),
    "low": Column("float64", lambda run: run.summary.headline.low),
    "high": Column("float64", lambda run: run.summary.headline.high),
    "n": Column("int64", lambda run: run.summary.headline.n),
    "clusters": Column("int64", lambda run: run.summary.headline.clusters),
    "questions": Column("int64", lambda run: run.summary.n),
    "failed": Column("int64", lambda run: run.summary.failed),
    "stream_tokens": Column("float64", lambda run: run.summary.stream_tokens.mean),
    "memory_tokens": Column("float64", lambda run: run.summary.memory_tokens.mean),
    "memory_tokens_max": Column("float64", lambda run: run.summary.memory_tokens.max),
    "recall_tokens": Column("float64", lambda run: run.summary.recall_tokens.mean),
    "calls": Column("int64", lambda run: sum(run.summary.calls.values())),
    "prompt_tokens": Column("int64", lambda run: run.summary.tokens.prompt),
    "completion_tokens": Column("int64", lambda run: run.summary.tokens.completion),
    "cached_tokens": Column("int64", lambda run: run.summary.tokens.cached),
    "usd": Column("float64", lambda run: run.summary.cost.usd),
    "usd_per_right": Column("float64", lambda run: run.summary.cost.usd_per_right),
    "read_amplification": Column("float64", lambda run: run.summary.cost.read_amplification),
    "seconds": Column("float64", lambda run: run.summary.seconds),
}
QUESTION: dict[str, Column[Answer]] = {
    "question_id": Column("object", lambda row: row.sample.question_id),
    "context_id": Column("object", lambda row: row.sample.context_id),
    "cluster": Column("object", lambda row: row.question.cluster),
    "kind": Column("object", lambda row: row.question.kind),
    "answerable": Column("bool", lambda row: row.question.answerable),
    "repeat": Column("int64", lambda row: row.sample.repeat),
    "answer_repeat": Column("int64", lambda row: row.sample.answer_repeat),
    "position": Column("float64", lambda row: row.sample.position),
    "question": Column("object", lambda row: row.question.text),
    "answers": Column("object", lambda row: row.question.answers),
    "answer": Column("object", lambda row: row.sample.answer),
    "verdict": Column("object", lambda row: row.score and row.score.verdict),
    "reason": Column("object", lambda row: row.score and row.score.reason),
    "finish_reason": Column("object", lambda row: row.sample.finish_reason),
    "score": Column("float64", lambda row: row.headline),
    "stream_tokens": Column("int64", lambda row: row.question.stream_tokens),
    "memory_tokens": Column("float64", lambda row: row.sample.memory_tokens),
    "recall_tokens": Column("int64", lambda row: row.sample.recall_tokens),
    "recall_items": Column("int64", lambda row: len(row.sample.recall)),
    "recall_dropped": Column("int64", lambda row: row.sample.recall_dropped),
    "calls": Column("int64", lambda row: sum(row.sample.calls.values())),
    "prompt_tokens": Column("int64", lambda row: sum(used.prompt for used in row.sample.tokens.values())),
    "completion_tokens": Column("int64", lambda row: sum(used.completion for used in row.sample.tokens.values())),
}
OPERATION: dict[str, Column[Operation]] = {
    "context_id": Column("object", lambda row: row.step.context_id),
    "repeat": Column("int64", lambda row: row.step.repeat),
    "position": Column("float64", lambda row: row.step.position),
    "chunk": Column("object", lambda row: row.step.chunk),
    "chunk_tokens": Column("int64", lambda row: row.step.chunk_tokens),
    "held_tokens": Column("float64", lambda row: None if row.step.held is None else sum(row.step.held.values())),
    "calls": Column("int64", lambda row: sum(row.step.calls.values()) if row.first else 0),
    "prompt_tokens": Column("int64", lambda row: row.used.prompt),
    "completion_tokens": Column("int64", lambda row: row.used.completion),
    "operation": Column("object", lambda row: row.result and row.result.name),
    "status": Column("object", lambda row: row.result and row.result.status),
    "message": Column("object", lambda row: row.result and row.result.message),
    "memory_type": Column("object", lambda row: row.effect.get("type")),
    "memory_id": Column("object", lambda row: row.effect.get("id")),
}

COLUMNS: dict[Level, dict[str, Column[Any]]] = {"run": RUN, "question": QUESTION, "operation": OPERATION}
"""level -> its columns, in order; they come after OF_THE_RUN. At the levels `run` and `question`, a column for each metric
comes last, under the metric's name."""


def frame(runs: Iterable[Run], level: Level = "run") -> pd.DataFrame:
    """A row per run, answer or operation. Raises UsageError for an unknown level."""
    import pandas as pd  # takes a second

    found = rows(runs, level)
    dtypes = {name: column.dtype for name, column in {**OF_THE_RUN, **COLUMNS[level]}.items()}
    made = pd.DataFrame(found, columns=list(dict.fromkeys([*dtypes, *(key for row in found for key in row)])))
    return made.astype({name: dtype for name, dtype in dtypes.items() if dtype != "object" or not found})


def rows(runs: Iterable[Run], level: Level = "run") -> list[dict[str, Any]]:
    """The rows of the table: column -> value, None where it is not known. Raises UsageError for an unknown level."""
    if level not in COLUMNS:
        raise UsageError(f"level '{level}'{suggest(level, COLUMNS)}: one of {', '.join(COLUMNS)}")
    made = {"run": _run, "question": _questions, "operation": _operations}[level]
    return [{**_cells(OF_THE_RUN, run), **row} for run in runs for row in made(run)]


def _cells(columns: Mapping[str, Column[Source]], source: Source) -> dict[str, Any]:
    return {name: column.value(source) for name, column in columns.items()}


def _run(run: Run) -> Iterator[dict[str, Any]]:
    yield {**_cells(RUN, run), **{name: average.value for name, average in run.summary.metrics.items()}}


def _questions(run: Run) -> Iterator[dict[str, Any]]:
    """A row per answer: question by question, repeat by repeat."""
    scores, judged = run.score_of(), run.score_of(run.judge) if run.judge else {}
    for sample in run.samples:
        score, ruling = scores.get(sample.key), judged.get(sample.key)
        metrics = {**(score.metrics if score else {}), **(ruling.metrics if ruling else {})}
        row = Answer(sample, run.questions[sample.question_id], score, metrics.get(run.summary.headline.metric))
        yield {**_cells(QUESTION, row), **metrics}


def _operations(run: Run) -> Iterator[dict[str, Any]]:
    for step in run.operations:
        if step.units:
            results: tuple[ToolRow | None, ...] = step.results or (None,)
            for number, result in enumerate(results):
                yield _cells(OPERATION, Operation(step, result, first=number == 0))
