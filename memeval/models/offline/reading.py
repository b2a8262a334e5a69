"""Answering a question from the sentences in view: one sentence, one span, one hop.

A sentence is chosen by its overlap with the question (idf within the window), a span in it by the expected type of answer
and by its distance to the question's words. No second sentence is looked up through a name that the first one gave. Every
further sentence in view is a further chance to choose wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from memeval.models.offline.comparing import either, yes_no
from memeval.models.offline.fitting import spans
from memeval.models.offline.questions import Asked, asked
from memeval.models.offline.spans import Span
from memeval.models.offline.window import MATCHED, Line, Window, stamped, window
from memeval.models.offline.words import fold

ABSTAIN = "I don't know"
THRESHOLD = 0.3
"""A sentence counts when it shares at least this part of the question's idf mass, ..."""
RELATED = 0.2
"""... with at least this part of that of the question's words outside names, ..."""
UNNAMED = 0.25
"""... or, where it has no name of the question (but another sentence in view has), this part by two words or more. Where no
sentence in view counts, or a name is asked about and none is in view, the reader abstains."""
_SEEN = 12  # sentences whose spans are looked at
_FIT = 0.35  # weight of a span's fit beside a sentence's overlap
_RIVAL = 0.8  # share of the best score from which a span is a rival statement
_NOT_LATEST = re.compile(
    r"\b(?:first|original|originally|earliest|initially|initial|previous|previously|former|formerly|before)\b"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    line: Line
    span: Span
    score: float


def answer(memory: str, question: str) -> str:
    """A short answer, or `ABSTAIN`."""
    query = asked(question)
    if not query.content or not memory.strip():
        return ABSTAIN
    view = window(memory, query)
    if query.kind == "yes-no":
        return yes_no(query, view) or ABSTAIN
    if query.kind == "either":
        return either(query, view) or ABSTAIN
    ranked = sorted(_candidates(query, view), key=lambda found: (-found.score, found.line.order, found.span.start))
    return _shown(query, _latest(query, ranked).span) if ranked else ABSTAIN


def _candidates(query: Asked, view: Window) -> Iterator[Candidate]:
    """The spans of the best sentences that count."""
    if query.names and not any(max(line.named) >= MATCHED for line in view.lines):
        return
    counting = [line for line in view.lines if _counts(query, line)]
    counting.sort(key=lambda line: (-line.share, line.order))
    for line in counting[:_SEEN]:
        for span, fit in spans(query, line):
            yield Candidate(line, span, line.share + _FIT * fit)


def _counts(query: Asked, line: Line) -> bool:
    if query.names and max(line.named) < MATCHED:
        return line.share >= UNNAMED and sum(key[0] == "~" for key in line.keys) >= 2
    return line.share >= THRESHOLD and (not query.relation or line.related >= RELATED)


def _latest(query: Asked, ranked: list[Candidate]) -> Candidate:
    """Of dated sentences in view that state the same thing differently (they hold the same parts of the question), the
    latest; the best one where it has no date, or where the question states a year or asks for the first."""
    best = ranked[0]
    if query.years or _NOT_LATEST.search(fold(query.text)) or not _time(query, best):
        return best
    rivals = [c for c in ranked if c.line.keys == best.line.keys and c.score >= _RIVAL * best.score and _time(query, c)]
    return max(rivals, key=lambda found: (_time(query, found), found.score))


def _time(query: Asked, candidate: Candidate) -> tuple[float, ...]:
    """Where a date is the answer, only the date of the document tells which statement is the later."""
    return stamped(candidate.line.stamp) if query.kind in ("date", "year") else candidate.line.time()


def _shown(query: Asked, span: Span) -> str:
    if query.kind == "year" and span.key:
        return str(int(span.key[0]))
    text = " ".join(span.text.split()).strip(" ,;:'’\"“”")
    return text if re.search(r"\b\w\.$", text) else text.rstrip(".")
