"""Runs as pandas tables: a row per run, per answer, or per memory operation. docs/python.md lists the columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from memeval.errors import UsageError, suggest
from memeval.records.rows import OperationRow, SampleRow, ScoreRow, ToolRow, Usage

if TYPE_CHECKING:
    import pandas as pd

    from memeval.results.load import Run

Level = Literal["run", "question", "operation"]
Columns = Mapping[str, str]
"""name -> pandas dtype. Whole numbers that may be unknown are floats, with NaN."""

OF_THE_RUN: Columns = dict.fromkeys(("path", "task", "agent", "label", "tag", "model"), "object")

COLUMNS: Mapping[str, Columns] = {
    "run": {
        **OF_THE_RUN,
        **dict.fromkeys(("reader", "embedder", "judge", "params"), "object"),
        "answer_budget": "float64",
        "seed": "int64",
        "when": "datetime64[ns, UTC]",
        "status": "object",
        "metric": "object",
        **dict.fromkeys(("score", "low", "high"), "float64"),
        **dict.fromkeys(("n", "clusters", "questions", "failed"), "int64"),
        **dict.fromkeys(("stream_tokens", "memory_tokens", "memory_tokens_max", "recall_tokens"), "float64"),
        **dict.fromkeys(("calls", "prompt_tokens", "completion_tokens", "cached_tokens"), "int64"),
        **dict.fromkeys(("usd", "usd_per_right", "read_amplification", "seconds"), "float64"),
    },
    "question": {
        **OF_THE_RUN,
        **dict.fromkeys(("question_id", "context_id", "cluster", "kind"), "object"),
        "answerable": "bool",
        **dict.fromkeys(("repeat", "answer_repeat"), "int64"),
        "position": "float64",
        **dict.fromkeys(("question", "answers", "answer", "verdict", "reason", "finish_reason"), "object"),
        "score": "float64",
        "stream_tokens": "int64",
        "memory_tokens": "float64",
        **dict.fromkeys(("recall_tokens", "recall_items", "recall_dropped"), "int64"),
        **dict.fromkeys(("calls", "prompt_tokens", "completion_tokens"), "int64"),
    },
    "operation": {
        **OF_THE_RUN,
        "context_id": "object",
        "repeat": "int64",
        "position": "float64",
        "chunk": "object",
        "chunk_tokens": "int64",
        "held_tokens": "float64",
        **dict.fromkeys(("calls", "prompt_tokens", "completion_tokens"), "int64"),
        **dict.fromkeys(("operation", "status", "message", "memory_type", "memory_id"), "object"),
    },
}
"""level -> its columns, in order. Those of metrics follow, each under its name, at the levels `run` and `question`."""


def frame(runs: Iterable[Run], level: Level = "run") -> pd.DataFrame:
    """A row per run, answer or operation. Raises UsageError for another level."""
    import pandas as pd  # takes a second

    found = rows(runs, level)
    columns = COLUMNS[level]
    made = pd.DataFrame(found, columns=list(dict.fromkeys([*columns, *(key for row in found for key in row)])))
    return made.astype({name: dtype for name, dtype in columns.items() if dtype != "object" or not found})


def rows(runs: Iterable[Run], level: Level = "run") -> list[dict[str, Any]]:
    """The rows of the table, column -> value; None where it is not known."""
    if level not in COLUMNS:
        raise UsageError(f"level '{level}'{suggest(level, COLUMNS)}: one of {', '.join(COLUMNS)}")
    return [row for run in runs for row in _ROWS[level](run)]


def _of_the_run(run: Run) -> dict[str, Any]:
    named = {"path": str(run.path), "task": run.task, "agent": run.agent}
    return {**named, "label": run.label or None, "tag": run.tag or None, "model": run.model}


def _run(run: Run) -> Iterator[dict[str, Any]]:
    found = run.summary
    yield {
        **_of_the_run(run),
        "reader": found.reader,
        "embedder": found.embedder,
        "judge": found.judge.judge if found.judge else None,
        "params": ", ".join(f"{key}={value}" for key, value in found.params.items()),
        "answer_budget": found.answer_budget,
        "seed": run.manifest.seed,
        "when": run.when,
        "status": found.status,
        "metric": found.headline.metric,
        "score": found.headline.value,
        "low": found.headline.low,
        "high": found.headline.high,
        "n": found.headline.n,
        "clusters": found.headline.clusters,
        "questions": found.n,
        "failed": found.failed,
        "stream_tokens": found.stream_tokens.mean,
        "memory_tokens": found.memory_tokens.mean,
        "memory_tokens_max": found.memory_tokens.max,
        "recall_tokens": found.recall_tokens.mean,
        "calls": sum(found.calls.values()),
        "prompt_tokens": found.tokens.prompt,
        "completion_tokens": found.tokens.completion,
        "cached_tokens": found.tokens.cached,
        "usd": found.cost.usd,
        "usd_per_right": found.cost.usd_per_right,
        "read_amplification": found.cost.read_amplification,
        "seconds": found.seconds,
        **{name: average.value for name, average in found.metrics.items()},
    }


def _questions(run: Run) -> Iterator[dict[str, Any]]:
    """A row per answer: question by question, repeat by repeat."""
    scores = run.score_of()
    judged = run.score_of(run.judge) if run.judge else {}
    headline = run.summary.headline.metric
    common = _of_the_run(run)
    for sample in run.samples:
        yield {**common, **_answer(run, sample, scores.get(sample.key), judged.get(sample.key), headline)}


def _answer(run: Run, sample: SampleRow, score: ScoreRow | None, judged: ScoreRow | None, headline: str) -> dict[str, Any]:
    question = run.questions[sample.question_id]
    metrics = {**(score.metrics if score else {}), **(judged.metrics if judged else {})}
    used = sum(sample.tokens.values(), Usage())
    return {
        "question_id": sample.question_id,
        "context_id": sample.context_id,
        "cluster": question.cluster,
        "kind": question.kind,
        "answerable": question.answerable,
        "repeat": sample.repeat,
        "answer_repeat": sample.answer_repeat,
        "position": sample.position,
        "question": question.text,
        "answers": question.answers,
        "answer": sample.answer,
        "verdict": score.verdict if score else None,
        "reason": score.reason if score else None,
        "finish_reason": sample.finish_reason,
        "score": metrics.get(headline),
        "stream_tokens": question.stream_tokens,
        "memory_tokens": sample.memory_tokens,
        "recall_tokens": sample.recall_tokens,
        "recall_items": len(sample.recall),
        "recall_dropped": sample.recall_dropped,
        "calls": sum(sample.calls.values()),
        "prompt_tokens": used.prompt,
        "completion_tokens": used.completion,
        **metrics,
    }


def _operations(run: Run) -> Iterator[dict[str, Any]]:
    """A row per memory operation. A chunk without any has one row, so that the memory's size along the stream is whole;
    calls and tokens of a chunk are in its first row."""
    common = _of_the_run(run)
    for step in run.operations:
        if step.units:
            results: tuple[ToolRow | None, ...] = step.results or (None,)
            for number, result in enumerate(results):
                yield {**common, **_operation(step, result, first=number == 0)}


def _operation(step: OperationRow, result: ToolRow | None, *, first: bool) -> dict[str, Any]:
    used = sum(step.tokens.values(), Usage()) if first else Usage()
    effect = (result.effect if result else None) or {}
    return {
        "context_id": step.context_id,
        "repeat": step.repeat,
        "position": step.position,
        "chunk": step.chunk,
        "chunk_tokens": step.chunk_tokens,
        "held_tokens": None if step.held is None else sum(step.held.values()),
        "calls": sum(step.calls.values()) if first else 0,
        "prompt_tokens": used.prompt,
        "completion_tokens": used.completion,
        "operation": result.name if result else None,
        "status": result.status if result else None,
        "message": result.message if result else None,
        "memory_type": effect.get("type"),
        "memory_id": effect.get("id"),
    }


_ROWS = {"run": _run, "question": _questions, "operation": _operations}
