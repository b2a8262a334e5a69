"""Answer from the sentences in view: one sentence, one span, one hop; and decide what to search for next.

A sentence is chosen by the words that it shares with the question, a span in it by the type of answer and its distance
to those words. No name is looked up through another sentence. Every further sentence in view is a further chance to
choose wrongly.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

from memeval.models.offline.text import STOP, WORD, Span, dates, entries, names, numbers, stem, stems, words

ABSTAIN = "I don't know"
THRESHOLD = 0.25
"""A sentence counts if it contains at least this share of the question's words outside names."""
MATCHED = 0.6
"""A sentence contains a name of the question if it contains this share of its words: first names are often left out."""
AGREES = 0.7
"""The share of all words of a yes-no question in one sentence from which the answer is `yes`."""

_KINDS = (
    ("yes-no", re.compile(r"(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would)\b")),
    ("year", re.compile(r".*\b(?:what|which) year\b")),
    ("date", re.compile(r".*\b(?:when\b|(?:what|which) (?:date|day|month|birthday)\b)")),
    ("number", re.compile(r".*\bhow (?:many|much|old|tall|long|far|large)\b")),
    ("name", re.compile(r".*\b(?:who|whom|whose|where)\b")),
)
"""The type of an answer and how a question for it is put, the first that fits; else it is a `thing`, any phrase."""
_PHRASE = re.compile(
    r"\b(?:is|are|was|were|be|been|as|for|of|in|makes?|made|has|had)\s+(?:an?\s|the\s)?"
    r"(?P<said>[^\W_][^,.;:()\n]{0,60}?)(?=\s(?:by|in|at|on|from|to|who|which|that|and|for|with|since|until|whose)\s|[,.;:()\n]|$)"
)
_LABEL = re.compile(r"^[ \t]*\(?([A-Za-z0-9])[).:][ \t]*", re.MULTILINE)


class Query:
    """A question. kind: see _KINDS. content: the stems of its content words; names: those of each name in it; relation:
    those outside names."""

    def __init__(self, question: str) -> None:
        self.text = re.sub(r"^\s*\[[^\]\n]{1,40}\]\s*", "", question)
        self.names = [held for span in names(self.text) if (held := stems(span.text))]
        self.content = stems(self.text)
        self.relation = self.content.difference(*self.names)
        asked = " ".join(words(self.text))
        self.kind = next((kind for kind, pattern in _KINDS if pattern.match(asked)), "thing")


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence. time: the date of its entry; () where undated. stems: of the sentence and its subject. share: the part
    of the question's words outside names that it holds; named: the largest part of a name's words (both 0..1, and 1 where
    the question has none)."""

    text: str
    time: tuple[int, ...]
    stems: frozenset[str]
    share: float
    named: float


def view(memory: str, query: Query) -> Iterator[Line]:
    """All sentences of a memory."""
    for entry in entries(memory):
        time = max((date.key for date in dates(entry.stamp)), default=())
        for sentence in entry.sentences:
            text = entry.named(sentence)
            found = stems(f"{entry.stamp} {text}")
            named = max((_part(name, found) for name in query.names), default=1.0)
            yield Line(text, time, found, _part(query.relation, found), named)


def _part(wanted: frozenset[str], found: frozenset[str]) -> float:
    return len(wanted & found) / len(wanted) if wanted else 1.0


def answer(memory: str, question: str) -> str:
    """A short answer, or `ABSTAIN` if no sentence contains a name of the question and enough of its other words. Of
    equally good sentences, the latest counts."""
    query = Query(question)
    lines = [line for line in view(memory, query) if line.named >= MATCHED] if query.content else []
    if query.kind == "yes-no" and lines:
        return "yes" if any(_part(query.content, line.stems) >= AGREES for line in lines) else "no"
    found = [(line, spans) for line in lines if line.share >= THRESHOLD and (spans := _spans(query, line.text))]
    if not found:
        return ABSTAIN
    best, spans = max(found, key=lambda item: (item[0].share, item[0].time))
    hits = [match.start() for match in WORD.finditer(best.text) if stem(match.group().lower()) in query.relation]
    nearest = min(spans, key=lambda span: min((abs(span.start - hit) for hit in hits), default=0))
    return str(nearest.key[0]) if query.kind == "year" else nearest.text.strip(" ,;'\"“”")


def _spans(query: Query, text: str) -> list[Span]:
    """The possible answers in a sentence: spans of the wanted type that the question does not contain. If no type is
    known: names, or the words after a verb."""
    if query.kind in ("date", "year"):
        return dates(text)
    if query.kind == "number":
        return numbers(text)
    found = [span for span in names(text) if not stems(span.text) <= query.content]
    if not found and query.kind == "thing":
        phrases = (Span(match["said"].strip(), match.start("said")) for match in _PHRASE.finditer(text))
        found = [span for span in phrases if not stems(span.text) <= query.content]
    return found


def choose(memory: str, question: str, options: str, seed: object) -> str:
    """`<final_answer> (x)`: the option that shares most with a sentence close to the question. Without a memory, or if
    nothing distinguishes the options, one drawn by seed, question and options."""
    _, *parts = _LABEL.split(options)
    labelled = list(zip(parts[::2], parts[1::2], strict=True))
    labelled = labelled or list(zip(string.ascii_lowercase, options.splitlines() or [""], strict=False))
    lines = list(view(memory, Query(question)))
    scores: dict[str, float] = {}
    for label, option in labelled:
        wanted = stems(option)
        scores[label.lower()] = max((line.share + _part(wanted, line.stems) for line in lines), default=0.0)
    best = [label for label, score in scores.items() if score == max(scores.values())]
    return f"<final_answer> ({random.Random(repr((seed, question, options))).choice(best)})"


def follow_up(memory: str, question: str) -> str:
    """What to search for next: the names that the closest sentence adds, and the words of the question that it lacks;
    "" if there is nothing to search for. Whether the memory has the answer is not considered."""
    query = Query(question)
    near = [line for line in view(memory, query) if line.named >= MATCHED and line.share > 0]
    if not near:
        return ""
    best = max(near, key=lambda line: line.share)
    learnt = [span.text for span in names(best.text) if not stems(span.text) & query.content]
    left = query.relation - best.stems
    missing = [word for word in WORD.findall(query.text) if word.lower() not in STOP and stem(word.lower()) in left]
    return " ".join([*learnt, *missing]) if learnt and missing else ""
