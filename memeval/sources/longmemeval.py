"""LongMemEval (Wu et al., ICLR 2025): 500 questions, each at the end of its own history of dated chats with an assistant.

Three sizes of one schema: `oracle` (the evidence sessions alone), `s` (some 50 sessions), `m` (some 500; 2.75 GB, hence read
record by record). A unit is a turn; its time is the session's date. Sessions go by date, as upstream's run_generation.py
sorts them (the oracle file is unsorted). Evidence is one piece per answer session: its turns marked `has_answer`, or all of
them where none is marked. Questions whose id ends in `_abs` cannot be answered: they have no evidence, as in upstream's
print_retrieval_metrics.py, and their gold is the explanation that the judge's rubric for them asks for.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from memeval.cards import TaskCard
from memeval.datafiles.arrays import JsonArray
from memeval.datafiles.fields import answer_field, list_field, object_at, text_field, texts_field
from memeval.datafiles.origin import locate, params
from memeval.errors import UsageError
from memeval.sources import Settings
from memeval.sources.fixed import FixedTask
from memeval.sources.reread import Reread
from memeval.task import Context, Evidence, Question, Unit

_BUNDLED = {"longmemeval-s": "synth-100k", "longmemeval-m": "synth-1m"}  # of about the same length
_DATE = re.compile(r"\d{4}/\d\d/\d\d \([A-Z][a-z]{2}\) \d\d:\d\d")  # sorts as text: the weekday follows from the date
_HAYSTACK = ("haystack_dates", "haystack_session_ids", "haystack_sessions")


class LongMemEval:
    """The source of cards that say `source: longmemeval`. params: files (names in the data folder, best first), hub
    (`owner/name/file` or `owner/name@revision/file`, best first)."""

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Read and check every record; keep its question and its place. Raises UsageError with file and record."""
        given = params(card, {"files": ("longmemeval/longmemeval_oracle.json",), "hub": ()})
        bundled = _BUNDLED.get(card.name, "synth-10k")
        array = JsonArray(locate(card, settings, given["files"], given["hub"], bundled=bundled))
        stored = Reread(array, parse, "question_id", used="by record {number}")
        counts = Counter(sessions=0, units=0, unanswerable=0, missing_evidence=0)
        for context in stored.contexts():
            counts.update(context.meta, units=len(context.units), unanswerable=not context.questions[0].answerable)
        data = {"files": [array.facts], "questions": len(stored.questions), **counts, "corpus": array.facts["sha256"]}
        return FixedTask(card, settings, stored.questions, stored.build, data)


def parse(record: Any, place: str, number: int = 0) -> Context:
    """One record: a history, and the question at its end. meta: sessions, missing_evidence (answer sessions that the history
    lacks). Raises UsageError."""
    row = object_at(record, place)
    name = text_field(row, "question_id", place)
    dates, ids = (texts_field(row, key, place) for key in _HAYSTACK[:2])
    sessions = list_field(row, "haystack_sessions", place)
    if not len(dates) == len(ids) == len(sessions):
        sizes = f"{len(dates)} dates, {len(ids)} ids, {len(sessions)} sessions"
        raise UsageError(f"{place}: the lists of the history differ in length ({sizes})")
    asked = text_field(row, "question_date", place)
    for date in (asked, *dates):
        if not _DATE.fullmatch(date):
            raise UsageError(f"{place}: date '{date[:80]}', expected one like 2023/05/30 (Tue) 23:40")
    units: list[Unit] = []
    turns_of: dict[str, list[int]] = {}
    marked: set[int] = set()
    for at in sorted(range(len(dates)), key=dates.__getitem__):
        turns = list_field({"session": sessions[at]}, "session", f"{place}: session {at + 1}")
        for number, turn in enumerate(turns, start=1):
            where = f"{place}: session {at + 1}, turn {number}"
            fields = object_at(turn, where)
            text = text_field(fields, "content", where, blank=True)
            has_answer = fields.get("has_answer")
            if has_answer is not None and not isinstance(has_answer, bool):
                raise UsageError(f"{where}: 'has_answer' is {has_answer!r}, expected true or false")
            if text:  # a few turns of the fillers are blank
                turns_of.setdefault(ids[at], []).append(len(units))
                if has_answer:
                    marked.add(len(units))
                units.append(Unit(text, dates[at], text_field(fields, "role", where)))
    if not units:
        raise UsageError(f"{place}: its history has no turn with a text")
    answerable = not name.endswith("_abs")
    wanted = dict.fromkeys(texts_field(row, "answer_session_ids", place) if answerable else ())
    evidence: list[Evidence] = []
    for session in wanted:
        indices = turns_of.get(session, [])
        indices = [index for index in indices if index in marked] or indices
        if indices:
            evidence.append(Evidence("\n".join(units[index].render() for index in indices), tuple(indices)))
    question = Question(
        id=name,
        text=text_field(row, "question", place),
        answers=(answer_field(row, "answer", place),),
        kind=text_field(row, "question_type", place),
        time=asked,
        answerable=answerable,
        evidence=tuple(evidence),
    )
    missing = sum(session not in turns_of for session in wanted)
    meta = {"sessions": len(sessions), "missing_evidence": missing}
    return Context(name, tuple(units), (question,), cluster=name, meta=meta)
