"""What it saves to ingest a context once for all its questions, in chunks shown to the agent (for an agent that makes one
call per chunk: in calls). Counted on packed streams, before anything is paid for."""

from __future__ import annotations

from collections.abc import Sequence

from memeval import tokens
from memeval.runs.prepare import PackedContext, prepare
from memeval.tasks import Task


def sharing(task: Task, question_ids: Sequence[str]) -> tuple[int, int]:
    """(chunks with sharing, chunks without) of a run that asks these questions once.

    With: each context is read once; a fork per position reads at most one chunk of its own. Without: the agent is rebuilt
    for each question, from the visible prefix. Builds every context of the questions, one at a time.
    """
    card = task.card
    count = tokens.counter(card.tokenizer)
    once = alone = 0
    for ref in task.refs(question_ids):
        prepared = prepare(task.context(ref), ref, card.chunk_tokens, count, card.one_unit_per_chunk)
        shown = chunks_shown(prepared)
        once, alone = once + shown[0], alone + shown[1]
    return once, alone


def chunks_shown(prepared: PackedContext) -> tuple[int, int]:
    """The same for one context."""
    if not prepared.points:
        return 0, 0
    *earlier, last = prepared.points  # the agent itself reads to the last position; forks read the ends of the others
    once = len(last.chunks) + sum(len(point.chunks) - point.shared for point in earlier)
    return once, sum(len(point.chunks) * len(point.questions) for point in prepared.points)
