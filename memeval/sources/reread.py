"""Contexts of a file too large to hold: each is parsed when a task is loaded, to check it, and again when it is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from memeval.datafiles.arrays import JsonArray
from memeval.datafiles.content import Span
from memeval.datafiles.lines import JsonLines
from memeval.errors import UsageError
from memeval.task import Context, Question


class Reread:
    """Of a context only its place is held, and of its questions all but their evidence.

    parse: (record, its place for errors, its number) -> context; raises UsageError. name: what the data call a context's id.
    used: how messages name the record that used an id before, with its `{place}` or `{number}`. questions: by context id;
    there once `contexts` went by.
    """

    def __init__(
        self, records: JsonArray | JsonLines, parse: Callable[[Any, str, int], Context], name: str, used: str = "by {place}"
    ) -> None:
        self._records = records
        self._parse = parse
        self._name = name
        self._used_by = used
        self._spans: dict[str, Span] = {}
        self._asked: dict[str, int] = {}  # question id -> number of its record
        self.questions: dict[str, tuple[Question, ...]] = {}

    def contexts(self) -> Iterator[Context]:
        """Every context, in the order of the file, whose facts are known then. Raises UsageError with file and record, also
        for an id that comes twice."""
        for span, row in self._records.scan():
            place = self._records.place(span.number)
            context = self._parse(row, place, span.number)
            if context.id in self._spans:
                raise UsageError(f"{place}: {self._name} {self._used(context.id, self._spans[context.id].number)}")
            self._spans[context.id] = span
            for question in context.questions:
                if question.id in self._asked:
                    raise UsageError(f"{place}: question id {self._used(question.id, self._asked[question.id])}")
                self._asked[question.id] = span.number
            self.questions[context.id] = tuple(dataclasses.replace(item, evidence=()) for item in context.questions)
            yield context

    def _used(self, name: str, number: int) -> str:
        used = self._used_by.format(place=self._records.place(number), number=number)
        return f"{name!r} was already used {used}"

    def build(self, context_id: str) -> Context:
        """One of them again. Raises UsageError when the file is not as it was."""
        span = self._spans[context_id]
        place = self._records.place(span.number)
        context = self._parse(self._records.at(span), place, span.number)
        if context.id != context_id:
            raise UsageError(f"{place}: the file was changed while it was in use; start again")
        return context
