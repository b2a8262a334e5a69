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
"""Chunks that `shotgun` and `shuffled` recall, as `bm25` does."""
_NUMBER = re.compile(r"\d+")
_FIXED = ("yes", "no", "(a)", "(b)", "(c)", "(d)", "I don't know")


def control_recall(control: str, question: Question, units: Sequence[Unit], chunks: Sequence[PackedChunk]) -> Recall | None:
    """What the reader sees: the units that hold the gold evidence (`oracle`), nothing (`none`), no memory block at all
    (`closed-book`: None), or what `bm25` recalls of `chunks` (`shuffled`: those of another stream). `constant`,
    `longest-option` and `shotgun` ask no reader; the last recalls chunks as `bm25` does.

    Whole units, not the annotated sentences alone: a sentence alone loses what its pronouns refer to, and annotations are
    incomplete. Evidence that names no unit is shown by its text.
    """
    if control in ("closed-book", "constant", "longest-option"):
        return None
    if control == "none":
        return Recall()
    if control in ("shotgun", "shuffled"):
        index = BM25Index()
        for chunk in chunks:
            index.add(chunk.text)
        best = [(chunks[number], score) for number, score in index.search(question.text, CHUNKS)]
        if control == "shuffled":  # the ids of another stream are no provenance in this one
            return Recall([Item(chunk.text, score=score) for chunk, score in best])
        return Recall([Item(chunk.text, (chunk.id,), chunk.id, score) for chunk, score in best])
    shown = sorted({index for piece in question.evidence for index in piece.units})
    items = [Item(units[index].render(), tuple(chunk.id for chunk in chunks if index in chunk.units)) for index in shown]
    items += [Item(piece.text) for piece in question.evidence if not piece.units]
    return Recall(items, order="stream")


def rule(control: str, question: Question, constant: str | None) -> Callable[[Recall], str | None] | None:
    """What gives the answer of a control that asks no reader; None for the others. constant: the answer of `constant`."""
    if control == "constant":
        return lambda recall: constant
    if control == "longest-option":
        return lambda recall: longest_option(question)
    return everything_named if control == "shotgun" else None


def everything_named(recall: Recall) -> str:
    """The answer of `shotgun`: every name and number in what was recalled, normalised. It holds nearly every answer and says
    nothing; what a metric gives it is what that metric pays for length."""
    found = {name for item in recall.items for name in (*names(item.text), *_NUMBER.findall(item.text))}
    return ", ".join(sorted(found))


def longest_option(question: Question) -> str:
    """The answer of `longest-option`, as the reader is asked to give it: the letter of the longest option, of the first of
    several. Where options were written around the right one, it is often the longest."""
    options = question.options or ()
    return f"({LETTERS[max(range(len(options)), key=lambda at: len(options[at]))]})"


def held(control: str) -> int | None:
    """Memory tokens of a control: nothing, but for those that see a part of the stream and have no memory to measure."""
    return None if control in ("oracle", "shotgun", "shuffled") else 0


def not_applicable(control: str, question: Question, chunks: Sequence[PackedChunk]) -> str | None:
    """Why a control has no result for a question; None where it has one. chunks: what it recalls from."""
    if control == "oracle" and question.answerable and not question.evidence:
        return NO_EVIDENCE
    if control == "shuffled" and not chunks:
        return ONE_STREAM
    if control == "longest-option" and not question.options:
        return NO_OPTIONS
    return None


def with_other(packed: PackedContext, task: Task, control: str, count: Callable[[str], int]) -> PackedContext:
    """The context with the chunks of another stream, where the control recalls from there.

    It is the stream of the nearest earlier question in the task's seeded order that is of another cluster (for the first
    questions: of the nearest later one), so that a smaller `--limit` changes nothing. None is added where the task has one
    cluster alone."""
    if control != "shuffled":
        return packed
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
    """The one fixed answer that scores best on the task's first 2000 questions (not only those a run asks, so that a
    larger run keeps the answers of the smaller): yes, no, a letter, a refusal, or one of the most frequent golds."""
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
