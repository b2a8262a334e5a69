"""LongMemEval (Wu et al., ICLR 2025): 500 questions, each at the end of its own history of dated chats with an
assistant.

There are three sizes with one schema: `oracle` (only the evidence sessions), `s` (some 50 sessions) and `m` (some 500;
2.75 GB, therefore read record by record). A unit is a turn; its time is the session's date. Sessions are sorted by date, as
in upstream's run_generation.py (the oracle file is unsorted). Evidence is one piece per answer session: its turns marked
`has_answer`, or all of them where none is marked. Questions whose id ends in `_abs` cannot be answered: they have no
evidence, as in upstream's print_retrieval_metrics.py, and their gold is the explanation that the judge's rubric asks for.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from memeval.cards import TaskCard
from memeval.data.fields import texts
from memeval.data.files import DataFile, find
from memeval.data.records import read
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks.base import Files, Settings, params
from memeval.tasks.fixed import FixedTask, Head, from_records


class Asked(msgspec.Struct):
    """The fields of a record that are read when a task is loaded, without its history."""

    question_id: str
    question_type: str
    question: str
    answer: Any
    question_date: str


class LongMemEval:
    """The source of cards that say `source: longmemeval`."""

    Params = Files

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        return (params(card, self.Params).of(DataFile(("longmemeval/longmemeval_oracle.json",))),)

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Load the task. Raises UsageError with file and record."""
        (file,) = find(self.files(card)[0], settings.data_dir, card.name)
        decode = msgspec.json.Decoder(Asked).decode
        return from_records(card, settings, read(file), lambda row, number: parse(row), _head, decode=decode)


def _head(row: Asked, number: int) -> Head:
    return row.question_id.strip(), (_question(row),)


def parse(row: Any) -> Context:
    """One record: a history, and the question at its end. meta: sessions."""
    asked = msgspec.convert(row, Asked)
    ids, dates, sessions = row["haystack_session_ids"], row["haystack_dates"], row["haystack_sessions"]
    units: list[Unit] = []
    turns_of: dict[str, list[int]] = {}
    marked: set[int] = set()
    for date, name, turns in sorted(zip(dates, ids, sessions, strict=True), key=lambda session: session[0]):
        for turn in turns:
            text = turn["content"].strip()
            if text:  # a few turns of the fillers are blank
                turns_of.setdefault(name, []).append(len(units))
                if turn.get("has_answer"):
                    marked.add(len(units))
                units.append(Unit(text, date, turn["role"]))
    question = _question(asked)
    evidence = []
    for session in dict.fromkeys(texts(row["answer_session_ids"])) if question.answerable else ():
        indices = turns_of.get(session, [])
        indices = [index for index in indices if index in marked] or indices
        if indices:
            evidence.append(Evidence("\n".join(units[index].render() for index in indices), tuple(indices)))
    question = dataclasses.replace(question, evidence=tuple(evidence))
    return Context(question.id, tuple(units), (question,), cluster=question.id, meta={"sessions": len(sessions)})


def _question(asked: Asked) -> Question:
    name = asked.question_id.strip()
    return Question(
        id=name,
        text=asked.question.strip(),
        answers=(str(asked.answer).strip(),),
        kind=asked.question_type.strip(),
        time=asked.question_date.strip(),
        answerable=not name.endswith("_abs"),
    )
