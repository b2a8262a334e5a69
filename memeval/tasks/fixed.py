"""Tasks whose streams are taken from the data: they are neither filled with distractors nor cut to a length."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from memeval.cards import TaskCard
from memeval.data.fields import published
from memeval.data.records import Records, Span
from memeval.errors import UsageError, suggest
from memeval.task import Context, ContextRef, Question
from memeval.tasks.base import Settings, refs_of, seeded

Head = tuple[str, Sequence[Question]]
"""(id of a context, its questions without evidence)"""


class FixedTask:
    """Implements `memeval.tasks.Task`.

    questions: context id -> everything asked about it. build: context id -> the stream with its questions, called when it
    is needed. data: facts for the manifest. order: of the questions, in place of the seeded one. Raises UsageError when the
    card sets a length, or when an id occurs twice.
    """

    def __init__(
        self,
        card: TaskCard,
        settings: Settings,
        questions: Mapping[str, Sequence[Question]],
        build: Callable[[str], Context],
        data: Mapping[str, Any],
        order: Sequence[str] | None = None,
    ) -> None:
        given = [key for key in ("documents", "tokens", "hard", "layout") if getattr(card, key)]
        given += ["shared"] * (card.shared != 1)
        if given:
            raise UsageError(f"task '{card.name}': '{given[0]}' has no effect: its streams are taken as the data have them")
        self.card = card
        self.data = data
        self._build = build
        self._questions: dict[str, Question] = {}
        self._context_of: dict[str, str] = {}
        for context_id, asked in questions.items():
            for question in asked:
                if question.id in self._questions:
                    raise UsageError(f"task '{card.name}': question id '{question.id}' occurs twice")
                self._questions[question.id] = dataclasses.replace(question, evidence=())
                self._context_of[question.id] = context_id
        if not self._questions:
            names = ", ".join(facts["name"] for facts in data.get("files", ()))
            raise UsageError(f"task '{card.name}': no question in {names or 'the data'}")
        self.order: Sequence[str] = seeded(self._questions, settings.seed) if order is None else order

    def golds(self) -> Sequence[Question]:
        """Questions with their golds but without evidence, in seeded order; builds no stream."""
        return [self._questions[name] for name in self.order]

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        return refs_of(self.card, self._context_of, question_ids)

    def context(self, ref: ContextRef) -> Context:
        if any(self._context_of.get(name) != ref.context_id for name in ref.question_ids) or not ref.question_ids:
            raise UsageError(f"task '{self.card.name}': no context '{ref.context_id}' with these questions")
        return self._build(ref.context_id)


def facts(files: Sequence[Mapping[str, Any]], questions: Mapping[str, Sequence[Question]], corpus: str) -> dict[str, Any]:
    """Facts for the manifest: the files that were read, and what they contain. corpus: a digest of the streams."""
    return {
        "files": list(files),
        "contexts": len(questions),
        "questions": sum(map(len, questions.values())),
        "corpus": corpus,
    }


def from_records(
    card: TaskCard,
    settings: Settings,
    records: Records,
    build: Callable[[Any, int], Context],
    head: Callable[[Any, int], Head | None] | None = None,
    *,
    decode: Callable[[bytes], Any] = msgspec.json.decode,
    others: Sequence[Mapping[str, Any]] = (),
    only: tuple[str, str, Callable[[Any], str]] | None = None,
) -> FixedTask:
    """A task with one context per record. Only the questions stay in memory; a stream is built when it is needed.

    build: (record, its number in the file) -> its context. head: (record, its number) -> only the id and questions of its
    context, where that is faster than building it; None to skip a record. decode: a faster decoder, where `head` needs few
    fields. others: facts of the other files that were read. only: selects records, by (the field's name in messages, the
    wanted value, a function that reads the value from a record). Raises UsageError with file and record, also for an id that
    occurs twice.
    """
    spans: dict[str, Span] = {}
    questions: dict[str, Sequence[Question]] = {}
    known: dict[str, int] = {}  # question id -> number of its record
    passed: set[str] = set()
    for span, line in records.spans():
        place = records.place(span.number)
        with published(place):
            row = decode(line)
            if only and only[2](row) != only[1]:
                passed.add(only[2](row))
                continue
            found = head(row, span.number) if head else build(row, span.number)
        if found is None:
            continue
        name, asked = (found.id, found.questions) if isinstance(found, Context) else found
        if name in spans:
            raise UsageError(f"{place}: id '{name}' was already used by {records.place(spans[name].number)}")
        for question in asked:
            if question.id in known:
                other = records.place(known[question.id])
                raise UsageError(f"{place}: question id '{question.id}' was already used by {other}")
            known[question.id] = span.number
        spans[name], questions[name] = span, asked
    if only and not spans:
        held = ", ".join(sorted(passed)) or "no records"
        raise UsageError(
            f"{records.file.path}: no record with {only[0]} '{only[1]}'{suggest(only[1], passed)} (it has {held})"
        )

    def built(name: str) -> Context:
        with published(records.place(spans[name].number)):
            return build(records.at(spans[name]), spans[name].number)

    data = facts([*others, records.facts], questions, records.facts["sha256"])
    return FixedTask(card, settings, questions, built, data)
