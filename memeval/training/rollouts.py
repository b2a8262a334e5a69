"""The result of reading a stream with the model under training: its rows, and the facts from which rewards are computed.

A row is one generation of the writer for a chunk: the exact tokens that it was shown and that it sampled, including the end
token; they are never decoded and tokenized again.
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
    """One row and what its calls did. row: None for a writer that is no model. calls: in the reply, including malformed
    ones; succeeded: how many of them had an effect. written: all texts that were put into the memory; a call may quote
    several lines. contents: (memory type, text) of insertions and updates, for a judge of contents. cut: the reply reached
    its limit."""

    row: Row | None
    calls: int = 0
    succeeded: int = 0
    written: tuple[str, ...] = ()
    contents: tuple[tuple[str, str], ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """One reading of one stream. accuracy: mean score over the questions of the stream, from 0 to 1. memory: tokens held at
    the end; stream: tokens read. task: the task of the stream, because two tasks may use the same id for a context."""

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
    """The readings of a run, in order of context, repeat and chunk. A generation that repeats prompt and reply of another in
    the same step has no row of its own. A failed question counts 0. Raises ValueError where a stream was read for several
    positions, because a reward could then not be assigned to a row."""
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
        row=row,
        calls=len(calls),
        succeeded=sum(result.status == "ok" for result in calls),
        written=tuple(str(effect["text"]) for effect in put),
        contents=contents,
        cut=bool(operation.unusable.get("length")),
    )


def _content(call: ToolRow) -> tuple[str, str] | None:
    """(memory type, text) that a call would put into the memory, whether or not it succeeded; None for a deletion, a
    malformed call, and a quote that names no line."""
    text = call.arguments.get({INSERT: "content", UPDATE: "new_content"}.get(call.name, ""))
    kind = str(call.arguments.get("memory_type", "")).strip().removesuffix("_memory")
    if not isinstance(text, str) or not text.strip() or kind not in TYPES:
        return None
    return None if text.startswith(SIGN) and call.status == "error" else (kind, text)
