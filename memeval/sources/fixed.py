"""Tasks whose streams are as the data have them: nothing is drawn, packed together or cut to a length."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.sources import Settings
from memeval.streams import refs_of, seeded
from memeval.task import Context, ContextRef, Question


class FixedTask:
    """Implements `memeval.sources.Task`.

    questions: context id -> everything asked about it. build: context id -> the stream with its questions, called when it
    is needed. data: facts for the manifest. Raises UsageError when the card sets a length, or when an id occurs twice.
    """

    def __init__(
        self,
        card: TaskCard,
        settings: Settings,
        questions: Mapping[str, Sequence[Question]],
        build: Callable[[str], Context],
        data: Mapping[str, Any],
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
            raise UsageError(f"task '{card.name}': no question in {names or 'the data'}; fetch it again")
        self.order: Sequence[str] = seeded(self._questions, settings.seed)

    def golds(self) -> Sequence[Question]:
        """Questions with their golds but without evidence, in seeded order; builds no stream."""
        return [self._questions[name] for name in self.order]

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        return refs_of(self.card, self._context_of, question_ids)

    def context(self, ref: ContextRef) -> Context:
        if any(self._context_of.get(name) != ref.context_id for name in ref.question_ids) or not ref.question_ids:
            raise UsageError(f"task '{self.card.name}': no context '{ref.context_id}' with these questions")
        return self._build(ref.context_id)
