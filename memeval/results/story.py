"""An answer in full: the question, the answers, what was recalled, where an answer was lost, and the memory at that point.

`memeval show` prints these records as text and JSON, and the page of `memeval report` contains them.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from memeval.agent import Item
from memeval.errors import UsageError, suggest
from memeval.memory.replay import replayed
from memeval.metrics.held import each_held, supported
from memeval.records.attribution import AttributedAnswer
from memeval.records.rows import QuestionRow, SampleRow
from memeval.results.lost import Where
from memeval.results.memory_at import steps_at
from memeval.results.run import Run
from memeval.runs.score import recalled_items

Which = Literal["wrong", "all"]
BAD = ("wrong", "failed")


class Ruling(msgspec.Struct, frozen=True):
    """A judge's verdict on an answer. judge: the name of its scores. points: its scores for the items of a rubric."""

    judge: str
    verdict: str
    metrics: dict[str, float] = {}
    reason: str | None = None
    reply: str | None = None
    points: tuple[float, ...] = ()


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. verdict: empty where the run is not scored yet; lost: where a wrong answer was lost (lost.py); attributed:
    what `memeval attribute` found for it, if that was run."""

    question_id: str
    repeat: int
    answer_repeat: int
    kind: str
    text: str
    golds: tuple[str, ...]
    answer: str | None
    failure: str | None = None
    verdict: str = ""
    reason: str | None = None
    metrics: dict[str, float] = {}
    lost: Where | None = None
    rulings: tuple[Ruling, ...] = ()
    attributed: AttributedAnswer | None = None


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """An item that the reader saw. evidence: whether it holds a piece of the evidence; holds: the numbers of those
    pieces."""

    text: str
    chunks: tuple[str, ...] = ()
    id: str | None = None
    score: float | None = None
    tokens: int = 0
    evidence: bool = False
    holds: tuple[int, ...] = ()


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a memory. evidence: ids of the questions for which it holds a piece of the evidence."""

    type: str
    id: str | None
    text: str
    chunks: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A memory operation."""

    chunk: str
    name: str
    arguments: dict[str, Any] = {}
    status: str = ""
    message: str = ""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """A memory at one position of its stream. position: units that a question asked here may know of, None for all; units:
    how many were read. held: tokens by type, None where the agent does not report them. recorded: whether its operations
    record what they changed; if not, there are no entries. operations: in the order in which they were made. replies: chunk
    -> the first reply to it, for chunks of which nothing was stored."""

    context_id: str
    repeat: int
    position: int | None
    chunks: int
    units: int
    held: dict[str, int] | None = None
    recorded: bool = False
    entries: tuple[Entry, ...] = ()
    operations: tuple[Operation, ...] = ()
    replies: dict[str, str] = {}


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A question in full, in one repeat. found: for each piece of the evidence that is in the stream, whether it was
    recalled; None where that cannot be traced. unsupported: the answer is right, but neither evidence nor answer was
    recalled. memory_tokens: tokens held when it was asked. memory: None for a control, and where its steps are missing."""

    run: str
    question: QuestionRow
    answers: tuple[Given, ...]
    found: tuple[bool | None, ...]
    unsupported: bool
    recalled: tuple[Recalled, ...]
    recall_tokens: int
    recall_dropped: int
    recall_lost: int
    memory_tokens: int | None
    memory: Memory | None


def answers(run: Run, which: Which = "all") -> tuple[Given, ...]:
    """The answers of a run, in order. which: `wrong` for those that are wrong or failed."""
    return tuple(row for row in _given(run, run.samples) if which == "all" or row.verdict in BAD)


def story(run: Run, question_id: str, repeat: int = 0) -> Story:
    """The story of a question. Raises UsageError where the run has no such question, or no answer to it in this repeat."""
    question = run.questions.get(question_id)
    if question is None:
        raise UsageError(f"{run.path}: no question '{question_id}'{suggest(question_id, run.questions)}")
    samples = [row for row in run.samples if (row.question_id, row.repeat) == (question_id, repeat)]
    if not samples:
        raise UsageError(f"{run.path}: question '{question_id}' has no sample of repeat {repeat}")
    return whole_story(run, samples[0], tuple(_given(run, samples)))


def whole_story(run: Run, sample: SampleRow, given: Sequence[Given]) -> Story:
    """The story of a question in one repeat. sample: the first one of the repeat; given: all answers of the repeat."""
    question = run.questions[sample.question_id]
    asked, items = question.question(), recalled_items(sample, run.texts)
    right = given[0].verdict == "right"
    return Story(
        run=str(run.path),
        question=question,
        answers=tuple(given),
        found=tuple(each_held(asked, question.evidence, items)),
        unsupported=right and supported(asked, question.evidence, items) is False,
        recalled=tuple(
            Recalled(
                text=item.text,
                chunks=item.chunks,
                id=item.id,
                score=item.score,
                tokens=row.tokens,
                evidence=bool(pieces := _pieces_in(item, question)),
                holds=pieces,
            )
            for row, item in zip(sample.recall, items, strict=True)
        ),
        recall_tokens=sample.recall_tokens,
        recall_dropped=sample.recall_dropped,
        recall_lost=sample.recall_lost,
        memory_tokens=sample.memory_tokens,
        memory=memory_at(run, [question], question.place, sample.repeat),
    )


def context_questions(run: Run, context: str | None = None) -> list[QuestionRow]:
    """The questions of one context, by default of the first. Raises UsageError where the run has no such context."""
    contexts = list(dict.fromkeys(row.context_id for row in run.questions.values()))
    if not contexts:
        raise UsageError(f"{run.path}: no question is finished yet; run its command again")
    if context is not None and context not in contexts:
        raise UsageError(f"{run.path}: no context '{context}'{suggest(context, contexts)} (it has {len(contexts)})")
    return [row for row in run.questions.values() if row.context_id == (context or contexts[0])]


def memory_at(run: Run, questions: Collection[QuestionRow], position: int | None, repeat: int = 0) -> Memory | None:
    """The memory of the questions' context after `position` units were read (None: all). At a position where no question was
    asked, it is the memory after the last whole chunk before it. None for a control, and where no steps are recorded."""
    question = next(iter(questions))
    steps = steps_at(run, replace(question, position=position), repeat)
    if not steps:
        return None
    results = [(row.chunk, result) for row in steps for result in row.results]
    recorded = any(result.effect is not None for _, result in results)
    return Memory(
        context_id=question.context_id,
        repeat=repeat,
        position=position,
        chunks=sum(bool(row.units) for row in steps),
        units=max((row.units[-1] + 1 for row in steps if row.units), default=0),
        held=next((row.held for row in reversed(steps) if row.held is not None), None),
        recorded=recorded,
        entries=tuple(
            Entry(
                type=kind,
                id=item.id,
                text=item.text,
                chunks=item.chunks,
                evidence=tuple(row.question_id for row in questions if _pieces_in(item, row)),
            )
            for kind, items in replayed(result.effect for _, result in results).items()
            for item in items.values()
        ),
        operations=tuple(
            Operation(
                chunk=chunk,
                name=result.name,
                arguments=result.arguments,
                status=result.status,
                message=result.message,
            )
            for chunk, result in results
        ),
        replies={row.chunk: row.reply for row in steps if row.reply},
    )


def _given(run: Run, samples: Iterable[SampleRow]) -> Iterator[Given]:
    scores, lost, judges = run.score_of(), run.lost.where, run.folder.judges()
    found = run.folder.attribution()
    attributed = {row.key: row for row in (found.answers if found else ())}
    for sample in samples:
        question, score = run.questions[sample.question_id], scores.get(sample.key)
        rulings = ((name, run.score_of(name).get(sample.key)) for name in judges)
        yield Given(
            question_id=sample.question_id,
            repeat=sample.repeat,
            answer_repeat=sample.answer_repeat,
            kind=question.kind,
            text=question.text,
            golds=question.answers,
            answer=sample.answer,
            failure=sample.failure,
            verdict=score.verdict if score else "",
            reason=score.reason if score else None,
            metrics=score.metrics if score else {},
            lost=lost.get(sample.key),
            rulings=tuple(
                Ruling(name, row.verdict, row.metrics, row.reason, row.reply, row.points) for name, row in rulings if row
            ),
            attributed=attributed.get(sample.key),
        )


def _pieces_in(item: Item, question: QuestionRow) -> tuple[int, ...]:
    """The numbers of the pieces of evidence that an item holds."""
    placed = [number for number, piece in enumerate(question.evidence) if piece.chunks]
    if all(set(question.evidence[number].chunks).isdisjoint(item.chunks) for number in placed):
        return ()  # the item comes from other chunks; no need to search its text
    return tuple(itertools.compress(placed, each_held(question.question(), question.evidence, [item])))
