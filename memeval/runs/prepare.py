"""Turn a context into what the engine feeds to an agent: chunks, and the positions at which questions are asked."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memeval.agent import Chunk
from memeval.digests import context_digest
from memeval.records.rows import EvidenceRow
from memeval.task import Context, ContextRef, Evidence, Question, Unit
from memeval.tasks.chunking import PackedChunk, pack


@dataclass(frozen=True, slots=True)
class AskPoint:
    """Questions asked at one position. `chunks` are the chunks of the visible prefix. The first `shared` of them are
    chunks of the whole stream too; the rest (at most one) ends where the prefix ends."""

    position: int | None
    chunks: tuple[PackedChunk, ...]
    shared: int
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class PackedContext:
    """One context, ready to run: its packed stream, and the questions by position. digest: of its units. other: chunks
    of another stream, for the control that recalls from there."""

    context: Context
    ref: ContextRef
    stream: tuple[PackedChunk, ...]
    points: tuple[AskPoint, ...]
    tokens: int
    digest: str = ""
    other: tuple[PackedChunk, ...] = ()

    def place(self, point: AskPoint) -> int | None:
        """The position as rows of the memory record it: None at the end of the stream."""
        return None if point.position == len(self.context.units) else point.position


def prepare(
    context: Context, ref: ContextRef, chunk_tokens: int, count: Callable[[str], int], apart: bool = False
) -> PackedContext:
    """Pack the stream once, and the last chunk of each prefix at whose end questions are asked. Questions are ordered
    by position, then as in the context. apart: no two units share a chunk (the card's `one_unit_per_chunk`).

    The chunks of a prefix are a prefix of the stream's chunks except for the last one (chunking.pack), so a fork needs
    at most one chunk of its own.
    """
    wanted = set(ref.question_ids)
    by_position: dict[int, list[Question]] = {}
    for question in context.questions:
        if question.id in wanted:
            end = len(context.units) if question.position is None else question.position
            by_position.setdefault(end, []).append(question)
    if ref.visible_question:  # one ingest per question: each question has its own context in the records
        context = dataclasses.replace(context, id=f"{context.id}?{ref.visible_question}")
    stream = tuple(pack(context.units, chunk_tokens, count, apart))
    starts = [chunk.units[0] for chunk in stream]
    points = []
    for end in sorted(by_position):
        shared = bisect_left(starts, end)  # number of chunks that overlap the prefix
        own: tuple[PackedChunk, ...] = ()
        if shared and stream[shared - 1].units[-1] >= end:
            shared -= 1
            own = (_last_chunk(context.units, stream, shared, end, chunk_tokens, count, apart),)
        questions = tuple(by_position[end])
        points.append(AskPoint(questions[0].position, (*stream[:shared], *own), shared, questions))
    tokens = sum(chunk.tokens for chunk in stream)
    return PackedContext(context, ref, stream, tuple(points), tokens, context_digest(context))


def _last_chunk(
    units: Sequence[Unit],
    stream: Sequence[PackedChunk],
    index: int,
    end: int,
    limit: int,
    count: Callable[[str], int],
    apart: bool,
) -> PackedChunk:
    """The last chunk of `units[:end]`: the part of chunk `index` of the whole stream that lies before `end`.

    Packing restarts at each chunk, so only the units since the last chunk that begins with a whole unit are packed
    again: a few, however long the stream is.
    """
    first = index
    while first and stream[first].units[0] == stream[first - 1].units[-1]:
        first -= 1
    start = stream[first].units[0]
    last = pack(units[start:end], limit, count, apart)[-1]
    return dataclasses.replace(last, id=stream[index].id, units=tuple(start + unit for unit in last.units))


def observed(chunk: PackedChunk) -> Chunk:
    """The chunk as the agent sees it: without unit indices."""
    return Chunk(chunk.id, chunk.text, chunk.time, chunk.tokens)


def evidence_rows(question: Question, chunks: Sequence[PackedChunk], units: Sequence[Unit]) -> tuple[EvidenceRow, ...]:
    """The evidence of a question, each piece with the ids of those of `chunks` that contain one of its units."""
    found = []
    for piece in question.evidence:
        wanted = set(piece.units)
        ids = tuple(chunk.id for chunk in chunks if not wanted.isdisjoint(chunk.units))
        found.append(EvidenceRow(text=piece.text, titles=titles(piece, units), units=tuple(piece.units), chunks=ids))
    return tuple(found)


def titles(piece: Evidence, units: Sequence[Unit]) -> tuple[str, ...]:
    """The titles of the documents that hold a piece of evidence, without duplicates."""
    return tuple(dict.fromkeys(units[at].title for at in piece.units if units[at].title))
