"""The sentences that a call can see, weighed against a question: idf within this window, overlap sentence by sentence."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memeval.models.offline.documents import documents
from memeval.models.offline.questions import Asked
from memeval.models.offline.spans import Span, dates
from memeval.models.offline.words import WORD, fold, stem, words

MATCHED = 0.6
"""A name of the question stands in a sentence when this share of its idf does (first names are often left out)."""
PARTLY = 0.3
"""A name that is matched less than this counts nothing: one common word of it is no sign of it."""
PRIOR = 300
"""Imagined sentences that hold none of the question's words: they keep idf sane in a window of two or three sentences."""
NAME_MASS = 1.5
"""A name weighs as much as 1.5 words of its rarest word's idf, however long it is."""
_BRACKET = re.compile(r"\(([^()]{4,200})\)")


@dataclass(slots=True)
class Line:
    """One sentence. `words`: its folded words and its subject's. `keys`: the parts of the question found among them (`=word`
    of a name, `~stem` of another word); `share`: their part of the question's idf mass, 0..1; `named`: how far each name of
    the question is matched, 0..1; `related`: share of the idf of the question's other words, 0..1."""

    text: str
    subject: str
    titled: bool
    stamp: str
    document: int
    order: int
    words: frozenset[str]
    keys: frozenset[str] = frozenset()
    share: float = 0.0
    named: tuple[float, ...] = ()
    related: float = 0.0

    def time(self) -> tuple[float, ...]:
        """When the sentence holds: the date of its document, else the latest date in it; () when undated."""
        return stamped(self.stamp) or max((date.key for date in dates(self.text)), default=())


@dataclass(frozen=True, slots=True)
class Window:
    """All lines in their order, and the idf of the question's keys among them."""

    lines: tuple[Line, ...]
    idf: Mapping[str, float]


def window(memory: str, query: Asked) -> Window:
    """Weigh every sentence of `memory`. idf(k) = ln(1 + (N + PRIOR) / (1 + df)), N = sentences in the window.

    Sums over sets are `fsum`: exact, so the order of a set cannot change a bit of them.
    """
    lines: list[Line] = []
    for number, document in enumerate(documents(memory)):
        about = set(words(document.subject))
        if moment := stamped(document.stamp):
            about.add(str(int(moment[0])))
        for text in document.sentences:
            found = about.union(WORD.findall(fold(text)))
            if "(" in text and lifespan(text):
                found |= {"born", "died"}
            line = Line(text, document.subject, document.titled, document.stamp, number, len(lines), frozenset(found))
            lines.append(line)
    keys = _keys(lines, query)
    known = keys.keys()
    for line in lines:
        line.keys = frozenset(key for word in known & line.words for key in keys[word])
    counts = Counter(key for line in lines for key in line.keys)
    every = {"=" + word for name in query.names for word in name} | {"~" + root for root in query.relation}
    idf = {key: math.log(1 + (len(lines) + PRIOR) / (1 + counts[key])) for key in every}
    masses = [NAME_MASS * max(idf["=" + word] for word in name) for name in query.names]
    relation = math.fsum(idf["~" + root] for root in query.relation)
    total = math.fsum([*masses, relation]) or 1.0
    for line in lines:
        line.named = tuple(_covered(name, line.keys, idf) for name in query.names)
        if line.keys:
            hit = math.fsum(idf[key] for key in line.keys if key[0] == "~")
            line.related = hit / relation if relation else 0.0
            matched = (mass * part for mass, part in zip(masses, line.named, strict=True) if part >= PARTLY)
            line.share = math.fsum([hit, *matched]) / total
    return Window(tuple(lines), idf)


def stamped(stamp: str) -> tuple[float, ...]:
    """The date of a stamp as (year, month, day), () when it has none."""
    found = dates(stamp.replace("/", "-")) if stamp else []
    return found[0].key if found else ()


def lifespan(text: str) -> tuple[Span, Span] | None:
    """(birth, death) of `Name (1 May 1900 – 2 June 1980)`: the usual bracket after a person's name."""
    for match in _BRACKET.finditer(text):
        found = [Span(d.text, d.start + match.start(1), d.end + match.start(1), d.key) for d in dates(match.group(1))]
        if len(found) != 2:
            continue
        between = text[found[0].end : found[1].start]
        if 0 <= found[1].key[0] - found[0].key[0] <= 120 and (not between.strip() or re.search(r"[–—-]", between)):
            return found[0], found[1]
    return None


def _keys(lines: Sequence[Line], query: Asked) -> dict[str, list[str]]:
    """word -> keys, for every word of the window that the question has too."""
    inside = {word for name in query.names for word in name}
    keys: dict[str, list[str]] = {}
    for word in set().union(*(line.words for line in lines)):
        if word in inside:
            keys.setdefault(word, []).append("=" + word)
        if (root := stem(word)) in query.relation:
            keys.setdefault(word, []).append("~" + root)
    return keys


def _covered(name: Sequence[str], keys: frozenset[str], idf: Mapping[str, float]) -> float:
    """The share of a name's idf that is among the keys."""
    if not keys:
        return 0.0
    return math.fsum(idf["=" + w] for w in name if "=" + w in keys) / math.fsum(idf["=" + w] for w in name)
