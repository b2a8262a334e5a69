"""Answering from the sentences in view: one sentence, one span, one hop.

A sentence is chosen by its overlap with the question (idf within the prompt), a span in it by the type of answer and its
distance to the question's words. Nothing is looked up through a name that another sentence gave. Every further sentence in
view is a further chance to choose wrongly. A question about two things is looked up for each of them.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from memeval.models.offline.text import (
    STOP,
    WORD,
    Span,
    alone,
    date_of,
    dates,
    entries,
    fold,
    listed,
    names,
    numbers,
    stem,
    stems,
    words,
)

ABSTAIN = "I don't know"
THRESHOLD = 0.3
"""A sentence counts when it holds at least this part of the question's idf mass ..."""
RELATED = 0.2
"""... and at least this part of that of the question's words outside names."""
MATCHED = 0.6
"""A name of the question is in a sentence when this share of its words is: first names are often left out."""
AGREES = 0.4
"""The same share of the question's other words from which a sentence confirms a yes-no question."""
PRIOR = 300
"""Imagined sentences without any word of the question: they keep idf sane in a memory of two or three sentences."""
_FIT = 0.35  # weight of a span's fit beside a sentence's overlap
_RIVAL = 0.8  # share of the best score from which a span is a rival statement
_NEAR = 40  # characters at which nearness is one half

_ASKS = frozenset(listed("who whom whose what which when where why how"))
_AUXILIARY = frozenset(listed("is are was were do does did has have had can could will would"))
_LEAST = frozenset(listed("first earlier earliest older oldest before sooner fewer less smaller shorter least"))
_IN_TIME = frozenset(
    listed("first earlier earliest older oldest before sooner later latest last younger youngest after newer")
)
_NOT_LATEST = frozenset(listed("first original originally earliest initially previous previously former formerly before"))
_MOST = frozenset(listed("longer larger bigger higher taller more most longest largest biggest highest tallest"))
_LIFE = re.compile(r"\((?=[^()]*\d{4}\s?[–-][^()]*\d{4}\))")  # `Name (1 May 1900 – 2 June 1980)`
_NEGATED = re.compile(r"\b(?:not|never|no longer)\b|n[’']t\b", re.IGNORECASE)
_PHRASE = re.compile(
    r"\b(?:is|are|was|were|be|been|as|for|of|in|makes?|made|has|had)\s+((?:an?\s|the\s)?)([^\W_][^,.;:()\n]{0,60})"
)
_PHRASE_END = re.compile(r"\s(?:by|in|at|on|from|to|who|which|that|and|for|with|since|until|whose)\s.*", re.DOTALL)
_LABEL = re.compile(r"^[ \t]*\(?([A-Za-z0-9])[).:][ \t]*", re.MULTILINE)


class Query:
    """A question. kind: person, place, date, year, number, yes-no, either or thing. names: the stems of each name in it.
    relation: stems of its other content words."""

    def __init__(self, question: str) -> None:
        self.text = re.sub(r"^\s*\[[^\]\n]{1,40}\]\s*", "", question)
        tokens = words(self.text)
        spans = [span for span in names(self.text) if fold(span.text) not in _ASKS | _AUXILIARY]
        self.spans = spans
        self.names = [found for span in spans if (found := stems(span.text))]
        self.content = stems(self.text).union(*self.names)
        self.relation = self.content.difference(*self.names)
        self.words = frozenset(tokens)
        self.kind = self._kind(tokens)

    def _kind(self, tokens: list[str]) -> str:
        if len(self.names) >= 2 and " or " in self.text:
            return "either"
        if tokens and tokens[0] in _AUXILIARY:
            return "yes-no"
        place = next((place for place, word in enumerate(tokens) if word in _ASKS), None)
        if place is None:
            return "thing"
        asks, head = tokens[place], set(tokens[place + 1 : place + 5])
        if asks == "how":
            return "number" if head & {"many", "much", "old", "tall", "long", "far", "large"} else "thing"
        if asks in ("what", "which") and head & {"year", "date", "day", "month", "birthday", "birthdate"}:
            return "year" if "year" in head else "date"
        return {"who": "person", "whom": "person", "whose": "person", "when": "date", "where": "place"}.get(asks, "thing")


@dataclass(slots=True)
class Line:
    """One sentence. hits: the stems of the question in it or in its subject. share: their part of the question's idf mass;
    related: the same for words outside names; both 0..1. named: the largest share of a name's words that it holds."""

    text: str
    stamp: str
    stems: frozenset[str]
    order: int = 0
    hits: frozenset[str] = frozenset()
    share: float = 0.0
    related: float = 0.0
    named: float = 0.0


def view(memory: str, query: Query) -> list[Line]:
    """All sentences of a memory, weighed. idf(s) = ln(1 + (N + PRIOR) / (1 + df)), N = sentences; a name counts as one word,
    the mean of its words. Sums are `fsum`: the order of a set cannot change a bit of them."""
    lines = [
        Line(alone(text, entry), entry.stamp, stems(f"{entry.subject} {entry.stamp} {_LIFE.sub(' born ', text)}"))
        for entry in entries(memory)
        for text in entry.sentences
    ]
    counts = Counter(root for line in lines for root in line.stems & query.content)
    idf = {root: math.log(1 + (len(lines) + PRIOR) / (1 + counts[root])) for root in query.content}
    for name in query.names:
        idf |= {root: idf[root] / len(name) for root in name}
    total = math.fsum(idf.values()) or 1.0
    relation = math.fsum(idf[root] for root in query.relation) or 1.0
    for order, line in enumerate(lines):
        line.order = order
        line.hits = line.stems & query.content
        if line.hits:
            line.share = math.fsum(idf[root] for root in line.hits) / total
            line.related = math.fsum(idf[root] for root in line.hits & query.relation) / relation
            line.named = max((len(name & line.hits) / len(name) for name in query.names), default=0.0)
    return lines


def answer(memory: str, question: str) -> str:
    """A short answer, or `ABSTAIN`: no sentence counts, or no sentence holds a name of the question."""
    query = Query(question)
    if not query.content or not memory.strip():
        return ABSTAIN
    lines = view(memory, query)
    if query.names and not any(line.named >= MATCHED for line in lines):
        return ABSTAIN
    if query.kind == "either":
        return _either(query, lines) or ABSTAIN
    if query.kind == "yes-no":
        return _yes_no(query, lines)
    counting = [line for line in lines if line.share >= THRESHOLD and (not query.relation or line.related >= RELATED)]
    if query.names:
        counting = [line for line in counting if line.named >= MATCHED]
    counting.sort(key=lambda line: (-line.share, line.order))
    found = [(line.share + _FIT * fit, line, span) for line in counting[:12] for span, fit in _spans(query, line)]
    if not found:
        return ABSTAIN
    score, best, span = max(found, key=lambda item: (item[0], -item[1].order, -item[2].start))
    if not query.words & _NOT_LATEST and not dates(query.text):
        rivals = [item for item in found if item[1].hits == best.hits and item[0] >= _RIVAL * score]
        when = {id(line): date_of(line.stamp) if query.kind in ("date", "year") else _time(line) for _, line, _ in rivals}
        if when[id(best)]:
            _, best, span = max(rivals, key=lambda item: (when[id(item[1])], item[0]))
    return str(int(span.key[0])) if query.kind == "year" else span.text.strip(" ,;'\"“”")


def _time(line: Line) -> tuple[float, ...]:
    """When a sentence holds: the date of its entry, else the latest one in it; () when undated."""
    return date_of(line.stamp, line.text)


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
            yield Span(phrase, match.start(2), match.start(2) + len(phrase))


def _yes_no(query: Query, lines: list[Line]) -> str:
    """`yes` where the best sentence holds the names and most other words of the question, negated as it is."""
    best = max(lines, key=lambda line: (line.share, -line.order))
    held = all(len(name & best.hits) >= MATCHED * len(name) for name in query.names)
    agrees = held and (not query.relation or best.related >= AGREES)
    return "yes" if agrees and bool(_NEGATED.search(best.text)) == bool(_NEGATED.search(query.text)) else "no"


def _either(query: Query, lines: list[Line]) -> str | None:
    """Of the names around `or` the one whose date or number the comparison picks, else the one said to have more of the
    question's words; None where one is not in view or nothing tells them apart."""
    cut = query.text.index(" or ")
    pair = [*[span for span in query.spans if span.end <= cut][-1:], *[span for span in query.spans if span.start > cut][:1]]
    about = [[line for line in lines if stems(span.text) <= line.stems] for span in pair]
    if len(pair) < 2 or not all(about):
        return None
    for found in about:
        found.sort(key=lambda line: (-line.related, line.order))
    find = dates if query.words & _IN_TIME else numbers
    keys = [next((spans[0].key for line in found if (spans := find(line.text))), (0.0,)) for found in about]
    if query.words & (_LEAST | _IN_TIME | _MOST) and min(keys) > (0.0,) and keys[0] != keys[1]:
        return pair[keys.index((min if query.words & _LEAST else max)(keys))].text
    shares = [max(line.share for line in found) for found in about]
    return None if shares[0] == shares[1] else pair[shares.index(max(shares))].text


def choose(memory: str, question: str, options: str, seed: object) -> str:
    """`<final_answer> (x)`: the option that shares most with the sentences nearest to the question. Without a memory, or
    where nothing tells the options apart, a draw by the hash of seed, question and options."""
    found = _labelled(options) or [("a", "")]
    lines = sorted(view(memory, Query(question)), key=lambda line: (-line.share, line.order))[:40]
    counts = Counter(root for line in lines for root in line.stems)
    weight: dict[str, float] = {}
    for line in lines:
        for root in line.stems:
            weight[root] = max(weight.get(root, 0.0), math.log(1 + len(lines) / counts[root]) * (0.05 + line.share))
    scores = [
        math.fsum(weight.get(root, 0.0) for root in content) / math.sqrt(len(content) or 1)
        for content in (stems(text) for _, text in found)
    ]
    tied = [label for (label, _), score in zip(found, scores, strict=True) if score == max(scores)]
    drawn = hashlib.sha256(repr((str(seed), question, options)).encode("utf-8", "surrogatepass")).digest()
    return f"<final_answer> ({tied[int.from_bytes(drawn[:8], 'big') % len(tied)]})"


def _labelled(options: str) -> list[tuple[str, str]]:
    """(label, text) of each option: `(a) text`, possibly over several lines; lines without labels are a, b, c, ..."""
    marks = list(_LABEL.finditer(options))
    if len(marks) >= 2:
        ends = [mark.start() for mark in marks[1:]] + [len(options)]
        return [(mark.group(1).lower(), options[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    lines = [line for line in options.splitlines() if line.strip()]
    return list(zip("abcdefghijklmnopqrstuvwxyz", lines, strict=False))
