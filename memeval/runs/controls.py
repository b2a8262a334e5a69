"""Controls: comparisons that may see what an agent never sees (validity section 2)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from string import ascii_lowercase as LETTERS

from memeval.agent import Item, Recall
from memeval.bm25 import BM25Index
from memeval.metrics import METRICS, Reply
from memeval.metrics.held import names
from memeval.runs.prepare import PackedContext
from memeval.task import Question, Unit
from memeval.tasks import Task
from memeval.tasks.chunking import PackedChunk, pack

NO_EVIDENCE = "the data have no gold evidence for this question"
NO_OPTIONS = "the question has no options"
ONE_STREAM = "the task has no other stream to recall from"
CHUNKS = 2
"""Number of chunks that `shotgun` and `shuffled` recall, as `bm25` does."""
_NUMBER = re.compile(r"\d+")
_FIXED = ("yes", "no", "(a)", "(b)", "(c)", "(d)", "I don't know")


def nothing(question: Question, units: Sequence[Unit], chunks: Sequence[PackedChunk]) -> Recall:
    return Recall()


def no_block(question: Question, units: Sequence[Unit], chunks: Sequence[PackedChunk]) -> None:
    """No memory block at all."""


def evidence(question: Question, units: Sequence[Unit], chunks: Sequence[PackedChunk]) -> Recall:
    """The units that hold the gold evidence.

    Whole units, not the annotated sentences alone: a sentence alone loses what its pronouns refer to, and annotations are
    incomplete. Evidence that names no unit is shown by its text.
    """
    shown = sorted({index for piece in question.evidence for index in piece.units})
    items = [Item(units[index].render(), tuple(chunk.id for chunk in chunks if index in chunk.units)) for index in shown]
    items += [Item(piece.text) for piece in question.evidence if not piece.units]
    return Recall(items, order="stream")


def nearest(question: Question, units: Sequence[Unit], chunks: Sequence[PackedChunk]) -> Recall:
    """What `bm25` recalls."""
    index = BM25Index()
    for chunk in chunks:
        index.add(chunk.text)
    best = [(chunks[number], score) for number, score in index.search(question.text, CHUNKS)]
    return Recall([Item(chunk.text, (chunk.id,), chunk.id, score) for chunk, score in best])


def nearest_elsewhere(question: Question, units: Sequence[Unit], chunks: Sequence[PackedChunk]) -> Recall:
    """What `bm25` recalls from another stream. Its chunk ids are removed, because they do not belong to this stream."""
    return Recall([Item(item.text, score=item.score) for item in nearest(question, units, chunks).items])


def everything_named(question: Question, recall: Recall, constant: str | None) -> str:
    """Every name and number in the recall, normalised. This contains nearly every answer and is none; its score shows
    how much a metric rewards length."""
    found = {name for item in recall.items for name in (*names(item.text), *_NUMBER.findall(item.text))}
    return ", ".join(sorted(found))


def longest_option(question: Question, recall: Recall, constant: str | None) -> str:
    """The letter of the longest option (the first of several), in the form that readers are asked for. Writers of
    options often make the right one the longest."""
    options = question.options or ()
    return f"({LETTERS[max(range(len(options)), key=lambda at: len(options[at]))]})"


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """recall: what the reader or the rule sees, from (question, units, chunks); None for no memory block. rule: the
    answer of a control without a reader, from (question, the part of the recall that fits the budget, the task's best
    constant). lacks: why there is no result for a question, given the chunks; None if there is one. held: memory
    tokens; None for a control that sees a part of the stream and has no memory. elsewhere: the chunks come from another
    stream."""

    recall: Callable[[Question, Sequence[Unit], Sequence[PackedChunk]], Recall | None]
    rule: Callable[[Question, Recall, str | None], str | None] | None = None
    lacks: Callable[[Question, Sequence[PackedChunk]], str | None] = lambda question, chunks: None
    held: int | None = 0
    elsewhere: bool = False


BY_NAME: Mapping[str, Control] = {
    "oracle": Control(
        evidence,
        lacks=lambda question, _: NO_EVIDENCE if question.answerable and not question.evidence else None,
        held=None,
    ),
    "none": Control(nothing),
    "closed-book": Control(no_block),
    "constant": Control(no_block, lambda question, recall, constant: constant),
    "shuffled": Control(
        nearest_elsewhere, lacks=lambda _, chunks: None if chunks else ONE_STREAM, held=None, elsewhere=True
    ),
    "longest-option": Control(no_block, longest_option, lacks=lambda question, _: None if question.options else NO_OPTIONS),
    "shotgun": Control(nearest, everything_named, held=None),
}
"""The implementation of each control in plugins.CONTROLS."""


def with_other(packed: PackedContext, task: Task, count: Callable[[str], int]) -> PackedContext:
    """The context with the chunks of another stream, for a control that recalls from there.

    The other stream is that of the nearest earlier question of another cluster in the task's seeded order (for the
    first questions: the nearest later one), so a smaller `--limit` changes nothing. If the task has only one cluster,
    nothing is added.
    """
    own, card = packed.context, task.card
    at = min(task.order.index(question) for question in packed.ref.question_ids)
    for question in (*reversed(task.order[:at]), *task.order[at + 1 :]):
        (ref,) = task.refs([question])
        if ref.context_id != packed.ref.context_id:
            other = task.context(ref)
            if (other.cluster or other.id) != (own.cluster or packed.ref.context_id):
                chunks = pack(other.units, card.chunk_tokens, count, card.one_unit_per_chunk)
                return dataclasses.replace(packed, other=tuple(chunks))
    return packed


def best_constant(questions: Sequence[Question], headline: str) -> str:
    """The fixed answer that scores best on the task's first 2000 questions: yes, no, a letter, a refusal, or one of the
    most frequent golds. It does not depend on the number of questions of the run, so a larger run keeps the answers of
    a smaller one."""
    asked = questions[:2000]
    counts: dict[str, int] = {}
    for question in asked:
        for answer in question.answers[:1]:
            counts[answer] = counts.get(answer, 0) + 1
    frequent = sorted(counts, key=lambda answer: (-counts[answer], answer))[:5]
    metric = METRICS[headline]
    totals: Mapping[str, float] = {
        candidate: sum(metric(Reply(candidate, question)) or 0.0 for question in asked)
        for candidate in dict.fromkeys([*_FIXED, *frequent])
    }
    return max(totals, key=lambda candidate: totals[candidate])
