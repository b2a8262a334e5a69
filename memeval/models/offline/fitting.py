"""The spans of a sentence that could answer a question, each with its fit (about 0..1): type, syntax around it, distance."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memeval.models.offline.questions import Asked
from memeval.models.offline.spans import Span, dates, names, numbers, quoted
from memeval.models.offline.window import Line, lifespan
from memeval.models.offline.words import PRONOUNS, STOP, WORD, fold, stem, words

_PLACED = re.compile(
    r"(?:\b(?:in|at|from|near|of|to|into|between|and|outside|around|the|city|town|village)\s|\d{4}[,;]?\s|,\s)[\"“(]?$"
)
_LOCATED = re.compile(r"\b(?:in|at|from|near)\s+$")
_LEADING = re.compile(r"(\w+)\s+(?:the\s+)?[\"“(]?$")
_COPULA = re.compile(r"\b(?:is|are|was|were)\s+(?:(?:an?|the)\s+)?")
_WORD_AND_ARTICLE = re.compile(r"\w+\s+(?:(?:an?|the)\s+)?")
_PHRASE = re.compile(
    r"[^,.;:()\"]{3,60}?(?=\s(?:in|of|at|by|for|from|on|that|which|who|with|to|and|owned|based)\b|[,.;:()\"]|$)"
)
_NEAR = 30  # characters over which nearness falls to a half


def spans(query: Asked, line: Line) -> Iterator[tuple[Span, float]]:
    """Spans of the expected type outside the question's own words."""
    hits = _positions(query, line)
    if query.kind in ("date", "year"):
        yield from _dates(query, line, hits)
    elif query.kind == "number":
        yield from _numbers(query, line, hits)
    elif query.kind == "definition":
        yield from _definitions(query, line)
    else:
        some = False
        for span in _candidates(query, line):
            if _fresh(span.text, query):
                some = True
                yield span, 0.6 * _near(span, hits) + _shape(query, line.text, span)
        if query.kind == "thing" and (not some or not query.names or query.head):
            phrase = _phrase(line.text, hits)
            if phrase and _fresh(phrase.text, query):
                yield phrase, 0.2


def _candidates(query: Asked, line: Line) -> list[Span]:
    """Names (and titles, for things); the subject too, where the sentence stands for it."""
    text, found = line.text, names(line.text)
    if query.kind == "place":
        found = _joined(text, found)
        return [span for span in found if _PLACED.search(text, max(0, span.start - 24), span.start)]
    if query.kind == "thing":
        found = [*quoted(text), *found]
    opening = fold(text).split(maxsplit=1)
    if line.subject and opening and (line.titled or opening[0] in PRONOUNS):
        found = [*found, Span(re.sub(r"\s*\([^)]*\)", "", line.subject), 0, 0)]
    return found


def _shape(query: Asked, text: str, span: Span) -> float:
    """What the words around a span say for its type, -0.3 to 0.45."""
    led = _LEADING.search(text, max(0, span.start - 14), span.start)
    word = led.group(1).lower() if led else ""
    if query.kind == "place":
        return 0.4 if word in ("in", "at", "from", "near", "to", "of") else -0.2
    if query.kind == "nationality":
        return 0.4 if " " not in span.text and word in ("a", "an", "is", "was") else -0.2
    if query.kind == "person":
        return 0.3 * (word == "by") + 0.15 * (" " in span.text) - 0.3 * (word in ("in", "at", "from", "near"))
    around = [*words(span.text), *words(text[max(0, span.start - 30) : span.start])[-2:]]
    return 0.3 if query.head and query.head in {stem(part) for part in around} else 0.0


def _dates(query: Asked, line: Line, hits: list[int]) -> Iterator[tuple[Span, float]]:
    """Dates other than the question's own years. In a bracket of birth and death each stands for its own."""
    life = lifespan(line.text)
    for span in dates(line.text):
        precise = span.key[1] > 0
        if int(span.key[0]) in query.years and not precise:
            continue
        fit = 0.6 * _near(span, hits)
        if life and span.start in (life[0].start, life[1].start):
            fit = 0.9 if ("born" if span.start == life[0].start else "die") in query.relation else 0.0
        yield span, fit + 0.1 * (query.kind == "date" and precise)


def _numbers(query: Asked, line: Line, hits: list[int]) -> Iterator[tuple[Span, float]]:
    for span in numbers(line.text):
        if span.text.lower() not in query.content:
            after = words(line.text[span.end : span.end + 40])[:2]
            counted = any(stem(word) in query.relation for word in after)
            yield span, 0.6 * _near(span, hits) + 0.4 * counted


def _definitions(query: Asked, line: Line) -> Iterator[tuple[Span, float]]:
    """What a thing is: the words after the first copula of a sentence about it."""
    about = {word for name in query.names for word in name}
    phrase = _phrase(line.text, [])
    if (
        phrase
        and _fresh(phrase.text, query)
        and not about.isdisjoint(words(line.text[: phrase.start]) + words(line.subject))
    ):
        yield phrase, _NEAR / (_NEAR + phrase.start)


def _positions(query: Asked, line: Line) -> list[int]:
    """Offsets of the question's words outside names; of those in names when there are none."""
    relation: list[int] = []
    named: list[int] = []
    inside = {word for name in query.names for word in name}
    for match in WORD.finditer(line.text):
        word = fold(match.group())
        if stem(word) in query.relation:
            relation.append(match.start())
        elif word in inside:
            named.append(match.start())
    return relation or named


def _near(span: Span, hits: list[int]) -> float:
    """1 at a word of the question, falling with distance; what comes after it is a little nearer than what precedes."""
    if not hits:
        return 0.0
    gap = min(span.start - hit if hit < span.start else max(0, hit - span.end) + 10 for hit in hits)
    return _NEAR / (_NEAR + gap)


def _fresh(text: str, query: Asked) -> bool:
    """Not made of the question's own words."""
    own = {stem(word) for word in query.content}
    return any(stem(word) not in own for word in words(text) if word not in STOP)


def _joined(text: str, found: list[Span]) -> list[Span]:
    """`Medford, Massachusetts` as one place, where `in`, `at`, `from` or `near` comes before it."""
    joined: list[Span] = []
    for span in found:
        last = joined[-1] if joined else None
        if last and text[last.end : span.start] == ", " and _LOCATED.search(text, max(0, last.start - 8), last.start):
            joined[-1] = Span(text[last.start : span.end], last.start, span.end)
        else:
            joined.append(span)
    return joined


def _phrase(text: str, hits: list[int]) -> Span | None:
    """The words after the copula, or after the last of the question's words, up to a mark or a preposition."""
    starts = [match.end() for match in [_COPULA.search(text)] if match]
    starts += [match.end() for hit in hits[-1:] if (match := _WORD_AND_ARTICLE.match(text, hit))]
    for start in starts:
        if match := _PHRASE.match(text, start):
            return Span(match.group(), match.start(), match.end())
    return None
