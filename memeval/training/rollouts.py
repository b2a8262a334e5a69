"""What a reading of a stream by the model under training comes to: its rows, and the facts that rewards are made of.

A row is one generation of the writer, made while one chunk is read: the tokens that it was shown and those that it sampled,
as they were (never decoded and tokenized again), the end token included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memeval.memory.tools import DROPPED, QUOTED
from memeval.models.completion import Row
from memeval.models.usage import Step
from memeval.records.rows import OperationRow, QuestionRow, ScoreRow

MEMORY = "memory"
"""The role that is trained."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One row. calls: made by the reply, malformed ones included; succeeded: of these, carried out with an effect.
    written: texts that it put into the memory, those of several lines of one call included; contents: (memory type, text)
    of the insertions and updates among its calls, for a judge of content. cut: the reply reached its limit."""

    chunk: str
    row: Row
    calls: int = 0
    succeeded: int = 0
    written: tuple[str, ...] = ()
    contents: tuple[tuple[str, str], ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """One reading of one stream. accuracy: mean score over the questions of the stream, from 0 to 1. memory, stream: tokens
    held at the end, and read."""

    context: str
    repeat: int
    turns: tuple[Turn, ...]
    accuracy: float
    memory: int
    stream: int


def rollouts(
    steps: Iterable[Step],
    operations: Iterable[OperationRow],
    questions: Mapping[str, QuestionRow],
    scores: Sequence[ScoreRow],
    headline: str,
) -> list[Rollout]:
    """The readings of a run, in order of context, repeat and chunk. A second generation with the prompt and reply of one
    before it in the same step is one sample, and has no row of its own. A failed question counts 0. Raises ValueError where
    the model recorded no row, or where a stream was read for several positions: then no reward belongs to a row."""
    rows: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for step in steps:
        if step.position is not None:
            raise ValueError(f"context {step.context_id}: a training task asks all its questions at the end of the stream")
        for role, completion in step.completions:
            if role != MEMORY:
                continue
            if completion.row is None:
                raise ValueError("the model of the role memory records no rows")
            known = rows.setdefault((step.context_id, step.repeat), {}).setdefault(step.name, [])
            if completion.row not in known:
                known.append(completion.row)
    results = {(row.context_id, row.repeat, row.chunk): row for row in operations if row.position is None}
    streams = {row.context_id: row.stream_tokens for row in questions.values()}
    values: dict[tuple[str, int], list[float]] = {}
    for score in scores:
        key = (questions[score.question_id].context_id, score.repeat)
        values.setdefault(key, []).append(score.metrics.get(headline, 0.0))
    held: dict[tuple[str, int], int] = {}
    for (context, repeat, _), operation in results.items():
        if operation.held is not None:
            held[context, repeat] = sum(operation.held.values())
    return [
        Rollout(
            *key,
            turns=tuple(
                _turn(chunk, row, results[(*key, chunk)]) for chunk in sorted(chunks) for row in chunks[chunk]
            ),
            accuracy=sum(values.get(key, ())) / max(1, len(values.get(key, ()))),
            memory=held.get(key, 0),
            stream=streams[key[0]],
        )
        for key, chunks in sorted(rows.items())
    ]


def _turn(chunk: str, row: Row, operation: OperationRow) -> Turn:
    calls = [result for result in operation.results if result.status not in (QUOTED, DROPPED)]
    put = [result.effect for result in operation.results if result.effect and result.effect.get("op") == "put"]
    contents = tuple(
        (str(result.arguments.get("memory_type", "")), str(text))
        for result in calls
        if (text := result.arguments.get("content", result.arguments.get("new_content")))
    )
    return Turn(
        chunk=chunk,
        row=row,
        calls=len(calls),
        succeeded=sum(result.status == "ok" for result in calls),
        written=tuple(str(effect["text"]) for effect in put),
        contents=contents,
        cut=bool(operation.unusable.get("length")),
    )
