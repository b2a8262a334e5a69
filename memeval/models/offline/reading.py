"""Answering from the sentences in view: one sentence, one span, one hop; and what to search for where they lead on.

A sentence is chosen by its overlap with the question (idf within the prompt), a span in it by the type of answer and its
distance to the question's words. Nothing is looked up through a name that another sentence gave. Every further sentence in
view is a further chance to choose wrongly.
"""

from __future__ import annotations

import math
import random
import re
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from memeval.models.offline.text import (
    STOP,
    WORD,
    Span,
    date_of,
    dates,
    entries,
    fold,
    names,
    numbers,
    self_contained,
    stem,
    stems,
    words,
)

ABSTAIN = "I don't know"
THRESHOLD = 0.2
"""A sentence counts when it holds at least this part of the idf mass of the question's words outside names."""
MATCHED = 0.6
"""A name of the question is in a sentence when this share of its words is: first names are often left out."""
AGREES = 0.4
"""The share of the question's other words from which a sentence confirms a yes-no question."""
PRIOR = 300
"""Imagined sentences without any word of the question: they keep idf sane in a memory of two or three sentences."""
_FIT = 0.35  # weight of a span's fit beside a sentence's overlap
_RIVAL = 0.8  # share of the best score from which a span is a rival statement
_NEAR = 40  # characters at which nearness is one half
_SENTENCES = 12, 40  # how many of the nearest sentences are looked at for an answer, and for a choice of options

_ASKS = frozenset(words("who whom whose what which when where why how"))
_AUXILIARY = frozenset(words("is are was were do does did has have had can could will would"))
_NOT_LATEST = frozenset(words("first original originally earliest initially previous previously former formerly before"))
_KINDS = (
    ("yes-no", re.compile(rf"(?:{'|'.join(_AUXILIARY)})\b")),
    ("year", re.compile(r".*\b(?:what|which) year\b")),
    ("date", re.compile(r".*\b(?:when\b|(?:what|which) (?:date|day|month|birthday)\b)")),
    ("number", re.compile(r".*\bhow (?:many|much|old|tall|long|far|large)\b")),
    ("name", re.compile(r".*\b(?:who|whom|whose|where)\b")),
)
"""The type of an answer and how a question for it is put, the first that fits; else it is a `thing`, any phrase."""
_NEGATED = re.compile(r"\b(?:not|never|no longer)\b|n[’']t\b", re.IGNORECASE)
_PHRASE = re.compile(
    r"\b(?:is|are|was|were|be|been|as|for|of|in|makes?|made|has|had)\s+((?:an?\s|the\s)?)([^\W_][^,.;:()\n]{0,60})"
)
_PHRASE_END = re.compile(r"\s(?:by|in|at|on|from|to|who|which|that|and|for|with|since|until|whose)\s.*", re.DOTALL)
_LABEL = re.compile(r"^[ \t]*\(?([A-Za-z0-9])[).:][ \t]*", re.MULTILINE)


class Query:
    """A question. kind: see _KINDS. names: the stems of each name in it; relation: of its other content words."""

    def __init__(self, question: str) -> None:
        self.text = re.sub(r"^\s*\[[^\]\n]{1,40}\]\s*", "", question)
        found = [span.text for span in names(self.text) if fold(span.text) not in _ASKS | _AUXILIARY]
        self.names = [held for name in found if (held := stems(name))]
        self.content = stems(self.text).union(*self.names)
        self.relation = self.content.difference(*self.names)
        self.words = frozenset(words(self.text))
        asked = " ".join(words(self.text))
        self.kind = next((kind for kind, pattern in _KINDS if pattern.match(asked)), "thing")


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence. time: when it holds; () where undated. order: its place. stems: of the sentence and its subject; hits:
    those of them that are in the question. share: the part of the idf mass of the question's words outside names that it
    holds; named: the largest share of a name's words (both 0..1, and 1 where the question has none)."""

    text: str
    time: tuple[int, ...]
    order: int
    stems: frozenset[str]
    hits: int
    share: float
    named: float


def view(memory: str, query: Query) -> list[Line]:
    """All sentences of a memory, weighed. idf(s) = ln(1 + (N + PRIOR) / (1 + df)), N = sentences. Sums are `fsum`: the order
    of a set cannot change a bit of them."""
    held = [(entry, text) for entry in entries(memory) for text in entry.sentences]
    roots = [stems(f"{entry.subject} {entry.stamp} {text}") for entry, text in held]
    counts = Counter(root for line in roots for root in line & query.relation)
    idf = {root: math.log(1 + (len(held) + PRIOR) / (1 + counts[root])) for root in query.relation}
    total = math.fsum(idf.values())
    dated = query.kind in ("date", "year")  # dates in the text are answers then
    return [
        Line(
            text=self_contained(text, entry),
            time=date_of(entry.stamp, "" if dated else text),
            order=order,
            stems=found,
            hits=len(found & query.content),
            share=math.fsum(idf[root] for root in found & query.relation) / total if total else 1.0,
            named=max((len(name & found) / len(name) for name in query.names), default=1.0),
        )
        for order, ((entry, text), found) in enumerate(zip(held, roots, strict=True))
    ]


def answer(memory: str, question: str) -> str:
    """A short answer, or `ABSTAIN`: no sentence counts, or no sentence holds a name of the question."""
    query = Query(question)
    lines = [line for line in view(memory, query) if line.named >= MATCHED] if query.content else []
    if query.kind == "yes-no" and lines:
        return _yes_no(query, lines)
    counting = [line for line in lines if line.share >= THRESHOLD]
    counting.sort(key=lambda line: (-line.share, -line.hits))
    found = [
        (line.share + _FIT * fit, line, span) for line in counting[: _SENTENCES[0]] for span, fit in _spans(query, line)
    ]
    if not found:
        return ABSTAIN
    score, best, span = max(found, key=lambda item: (item[0], -item[1].order, -item[2].start))
    if best.time and not query.words & _NOT_LATEST and not dates(query.text):
        rivals = [item for item in found if item[1].share == best.share and item[0] >= _RIVAL * score]
        _, best, span = max(rivals, key=lambda item: (item[1].time, item[0]))
    return str(span.key[0]) if query.kind == "year" else span.text.strip(" ,;'\"“”")


def _spans(query: Query, line: Line) -> Iterator[tuple[Span, float]]:
    """What a sentence offers as an answer, with its fit (0..1): a span of the wanted type near the question's words. Where
    no type is known, a name, or the words after a verb."""
    hits = [match.start() for match in WORD.finditer(line.text) if stem(fold(match.group())) in query.relation]
    if query.kind in ("date", "year"):
        found = dates(line.text)
    elif query.kind == "number":
        found = numbers(line.text)
    else:
        found = [span for span in names(line.text) if not stems(span.text) <= query.content]
        if not found and query.kind == "thing":
            found = list(_phrases(query, line.text))
    for span in found:
        gap = min((abs(span.start - hit) for hit in hits), default=_NEAR)
        yield span, _NEAR / (_NEAR + gap)


def _phrases(query: Query, text: str) -> Iterator[Span]:
    for match in _PHRASE.finditer(text):
        phrase = _PHRASE_END.sub("", match.group(2)).strip()
        if not stems(phrase) <= query.content and fold(phrase) not in STOP:
            yield Span(phrase, match.start(2))


def _yes_no(query: Query, lines: list[Line]) -> str:
    """`yes` where the best sentence holds the names and most other words of the question, negated as it is."""
    best = max(lines, key=lambda line: (line.share, line.hits))
    agrees = best.share >= AGREES and all(len(name & best.stems) >= MATCHED * len(name) for name in query.names)
    return "yes" if agrees and bool(_NEGATED.search(best.text)) == bool(_NEGATED.search(query.text)) else "no"


def choose(memory: str, question: str, options: str, seed: object) -> str:
    """`<final_answer> (x)`: the option that shares most with one of the sentences nearest to the question. Without a memory,
    or where nothing tells the options apart, one drawn by seed, question and options."""
    _, *parts = _LABEL.split(options)
    found = list(zip(parts[::2], parts[1::2], strict=True))
    found = found or list(zip(string.ascii_lowercase, options.splitlines() or [""], strict=False))
    lines = sorted(view(memory, Query(question)), key=lambda line: -line.share)[: _SENTENCES[1]]
    contents = [stems(text) for _, text in found]
    scores = [
        max(((0.05 + line.share) * len(content & line.stems) / math.sqrt(len(content) or 1) for line in lines), default=0.0)
        for content in contents
    ]
    tied = [label.lower() for (label, _), score in zip(found, scores, strict=True) if score == max(scores)]
    return f"<final_answer> ({random.Random(repr((seed, question, options))).choice(tied)})"


def follow_up(memory: str, question: str) -> str:
    """What to search for next: the names that the sentence nearest to the question adds, and the words of the question that
    this sentence leaves out; "" where there is nothing to look for. Whether the memory has the answer is not judged."""
    query = Query(question)
    near = [line for line in view(memory, query) if line.named >= MATCHED and line.share > 0]
    if not near:
        return ""
    best = max(near, key=lambda line: (line.share, line.hits))
    learnt = [span.text for span in names(best.text) if not stems(span.text) & query.content]
    left = query.relation - best.stems
    missing = [word for word in WORD.findall(query.text) if fold(word) not in STOP and stem(fold(word)) in left]
    return " ".join([*learnt, *missing]) if learnt and missing else ""
