"""What a reading of a stream by the model under training comes to: its rows, and the facts that rewards are made of.

A row is one generation of the writer, made while one chunk is read: the tokens that it was shown and those that it sampled,
as they were (never decoded and tokenized again), the end token included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memeval.memory.quoting import SIGN
from memeval.memory.store import TYPES
from memeval.memory.tools import DROPPED, INSERT, QUOTED, UPDATE
from memeval.models.completion import Row
from memeval.models.usage import Step
from memeval.records.rows import READ, OperationRow, QuestionRow, ScoreRow, ToolRow

MEMORY = "memory"
"""The role that is trained."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One row; `row` is None of a writer that is no model. calls: made by the reply, malformed ones included; succeeded: of
    these, carried out with an effect. written: texts that it put into the memory, those of several lines of one call
    included; contents: (memory type, text) of the insertions and updates among its calls, for a judge of content. cut: the
    reply reached its limit."""

    chunk: str
    row: Row | None
    calls: int = 0
    succeeded: int = 0
    written: tuple[str, ...] = ()
    contents: tuple[tuple[str, str], ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """One reading of one stream. accuracy: mean score over the questions of the stream, from 0 to 1. memory, stream: tokens
    held at the end, and read. task: that has the stream; two tasks may name a context alike."""

    context: str
    repeat: int
    turns: tuple[Turn, ...]
    accuracy: float
    memory: int
    stream: int
    task: str = ""


def rollouts(
    steps: Iterable[Step],
    operations: Iterable[OperationRow],
    questions: Mapping[str, QuestionRow],
    scores: Sequence[ScoreRow],
    headline: str,
    task: str = "",
) -> list[Rollout]:
    """The readings of a run, in order of context, repeat and chunk. A second generation with the prompt and reply of one
    before it in the same step is one sample, and has no row of its own. A failed question counts 0. Raises ValueError where
    a stream was read for several positions: then no reward belongs to a row."""
    rows: dict[tuple[str, int, str], list[Row]] = {}
    for step in steps:
        if step.position is not None:
            raise ValueError(f"context {step.context_id}: a training task asks all its questions at the end of the stream")
        found = (completion.row for role, completion in step.completions if role == MEMORY)
        rows[step.context_id, step.repeat, step.name] = list(dict.fromkeys(row for row in found if row is not None))
    values: dict[tuple[str, int], list[float]] = {}
    for score in scores:
        key = (questions[score.question_id].context_id, score.repeat)
        values.setdefault(key, []).append(score.metrics.get(headline, 0.0))
    read: dict[tuple[str, int], list[OperationRow]] = {}
    for operation in operations:
        if operation.position is None and operation.chunk != READ:
            read.setdefault((operation.context_id, operation.repeat), []).append(operation)
    streams = {row.context_id: row.stream_tokens for row in questions.values()}
    return [
        Rollout(
            *key,
            turns=tuple(
                _turn(row, operation)
                for operation in taken
                if operation.chunk_tokens
                for row in rows.get((*key, operation.chunk)) or (None,)
            ),
            accuracy=sum(values.get(key, ())) / max(1, len(values.get(key, ()))),
            memory=sum((taken[-1].held or {}).values()),
            stream=streams[key[0]],
            task=task,
        )
        for key, taken in sorted(read.items())
    ]


def _turn(row: Row | None, operation: OperationRow) -> Turn:
    calls = [result for result in operation.results if result.status not in (QUOTED, DROPPED)]
    put = [result.effect for result in operation.results if result.effect and result.effect.get("op") == "put"]
    contents = tuple(content for content in map(_content, calls) if content is not None)
    return Turn(
        chunk=operation.chunk,
        row=row,
        calls=len(calls),
        succeeded=sum(result.status == "ok" for result in calls),
        written=tuple(str(effect["text"]) for effect in put),
        contents=contents,
        cut=bool(operation.unusable.get("length")),
    )


def _content(call: ToolRow) -> tuple[str, str] | None:
    """(memory type, text) that a call would put into the memory, whether or not it did; None of a deletion, a malformed
    call, and a quote that names nothing, which has no text."""
    text = call.arguments.get({INSERT: "content", UPDATE: "new_content"}.get(call.name, ""))
    kind = str(call.arguments.get("memory_type", "")).strip().removesuffix("_memory")
    if not isinstance(text, str) or not text.strip() or kind not in TYPES:
        return None
    return None if text.startswith(SIGN) and call.status == "error" else (kind, text)
