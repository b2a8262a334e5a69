"""Questions over two named things: `A or B`, and yes/no. Each thing is looked up by itself; no bridge is followed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from memeval.models.offline.questions import Asked
from memeval.models.offline.spans import dates, names, numbers
from memeval.models.offline.window import MATCHED, Line, Window, lifespan
from memeval.models.offline.words import WORD, fold, listed, stem, stems, words

_EARLIER = listed("first earlier earliest older oldest before sooner former elder eldest")
_LATER = listed("later latest last younger youngest recent recently newer newest after")
_LONGER = listed("longer longest")
_MORE = listed("more most larger largest bigger biggest higher highest greater greatest taller tallest")
_LESS = listed("fewer fewest less least smaller smallest lower lowest shorter shortest")
_NEGATED = re.compile(r"\b(?:not|never|no longer|neither)\b|n[’']t\b", re.IGNORECASE)
_SAME = re.compile(r"\b(?:same|share|common)\b", re.IGNORECASE)
_AUXILIARY = re.compile(r"^(?:is|are|was|were|do|does|did|has|have|had|can)\s+", re.IGNORECASE)
_AMONG = re.compile(r"\b(?:between|out of|of|among|from)\s+", re.IGNORECASE)
_OR = re.compile(r",?\s+or\s+(?:[a-z]+\s+){0,3}?(?=[\"“']?[^\W_a-z])|,?\s+or\s+")
_AND = re.compile(r"\s+(?:and|or)\s+(?:[a-z]+\s+){0,4}?(?=[\"“]?[^\W_a-z])")
_STARTS = re.compile(r"(?<=[,:]\s)\S|(?<=\s)[\"“']?[^\W_a-z]")
_CAPITALS = re.compile(r"(?:(?<=\s)|^)[\"“]?[^\W_a-z]")
_ENDS = re.compile(r",?\s+(?=[^\W\d_A-ZÀ-Þ])|,\s|$")
_LOWER_TAIL = re.compile(r"(?:\s+[a-z]+)+$")
_LEADS_TRAIT = re.compile(r"(?:\b(?:an?|the|in|from|of|and|or)\s|\b\d{4}\s|[-,]\s?)$")
_READINGS = 60  # ways to read a question as naming two things that are tried
_AGREES = 0.5  # share of the asked words' idf from which a sentence confirms a yes/no question
_BOTH = 0.75  # share of the asked words that must stand in what is said of each of two things
_BESIDE = 80  # characters between a date and the word it goes with

Key = tuple[float, ...]
Pair = tuple[str, str]


def either(query: Asked, view: Window) -> str | None:
    """The one of the two that the question's comparison picks; None when one is not in view or nothing tells them apart."""
    found = _in_view(_choices(query.text), view)
    if found is None:
        return None
    pair, first, second = found
    asks = set(words(query.text))
    sign = -1 if asks & _EARLIER else 1 if asks & _LATER else 0
    if asks & _LONGER and "live" in query.relation:
        return _pick(pair, _years_lived(first), _years_lived(second), 1)
    if sign:
        if {"old", "young"} & query.relation:
            sign = -1 if "old" in query.relation else 1
        return _pick(pair, _dated(query, first), _dated(query, second), sign)
    more = 1 if asks & (_MORE | _LONGER) else -1 if asks & _LESS else 0
    if more and (picked := _pick(pair, _counted(query, first), _counted(query, second), more)):
        return picked
    own = stems(" ".join(pair))
    return _pick(pair, (_told(view, first, own),), (_told(view, second, own),), 1)


def yes_no(query: Asked, view: Window) -> str | None:
    """`yes` or `no`; None when what is asked about is not in view.

    Of two things: `same` compares their nationalities and places, anything else must be said of both. Of one: the best
    sentence must hold its names and most of its other words, and be negated as it is.
    """
    found = _in_view(_around_and(_AUXILIARY.sub("", query.text)), view)
    if found is not None:
        pair, first, second = found
        if _SAME.search(query.text):
            return "yes" if _traits(first) & _traits(second) else "no"
        wanted = stems(query.text) - stems(" ".join(pair))
        return "yes" if _says(first, wanted) and _says(second, wanted) else "no"
    if not query.names or not view.lines:
        return None
    best = max(view.lines, key=lambda line: (line.share, -line.order))
    if max(best.named) < MATCHED:
        return None
    agrees = min(best.named) >= MATCHED and (not query.relation or best.related >= _AGREES)
    agrees = agrees and bool(_NEGATED.search(best.text)) == bool(_NEGATED.search(query.text))
    return "yes" if agrees else "no"


def about(name: str, view: Window) -> list[Line]:
    """The lines of the document that is about `name`, or, failing that, the sentences that mention it."""
    wanted = {word for word in words(_unbracketed(name)) if word not in ("the", "a", "an", "s")}
    mentions = [line for line in view.lines if line.keys and wanted <= line.words] if wanted else []
    if not mentions:
        return []
    closest = max(mentions, key=lambda line: (_closeness(wanted, line), -line.order))
    if _closeness(wanted, closest) >= 0.5:
        return [line for line in view.lines if line.document == closest.document]
    return mentions


def _closeness(wanted: set[str], line: Line) -> float:
    subject = set(words(_unbracketed(line.subject)))
    return len(wanted & subject) / len(wanted | subject)


def _unbracketed(name: str) -> str:
    return re.sub(r"\([^)]*\)", "", name)


def _in_view(readings: Iterator[Pair], view: Window) -> tuple[Pair, list[Line], list[Line]] | None:
    """The first reading whose two things are both in view, with what is said of each."""
    for pair in islice(readings, _READINGS):
        first = about(pair[0], view)
        second = about(pair[1], view) if first else []
        if second:
            return pair, first, second
    return None


def _choices(text: str) -> Iterator[Pair]:
    """Readings of `..., A or B?` as (A, B), the longest A first, for names may hold commas and `or`; then those of
    `Between A and B, ...`."""
    body = text.strip().rstrip("?.! ")
    for match in _OR.finditer(body):
        left, right = body[: match.start()], body[match.end() :]
        ends = dict.fromkeys([right, _LOWER_TAIL.sub("", right)])
        for start in sorted({found.start() for found in _STARTS.finditer(left)}):
            for end in ends:
                yield _bare(left[start:]), _bare(end)
    for match in _AMONG.finditer(body):
        yield from _around_and(body[match.end() :])


def _around_and(text: str) -> Iterator[Pair]:
    """Readings of `... A and B ...` as (A, B), longest first: both begin with a capital or a digit, and B ends before a word
    in lower case, a comma or the end."""
    body = text.strip().rstrip("?.! ")
    for match in _AND.finditer(body):
        left, right = body[: match.start()].rstrip(", "), body[match.end() :]
        ends = sorted({found.start() for found in islice(_ENDS.finditer(right), 6)} - {0}, reverse=True)
        for start in islice(_CAPITALS.finditer(left), 8):
            for end in ends:
                yield _bare(left[start.start() :]), _bare(right[:end])


def _bare(name: str) -> str:
    return name.strip(' "“”')


def _pick(pair: Pair, left: Key | None, right: Key | None, sign: int) -> str | None:
    if not left or not right or left == right:
        return None
    return pair[0] if (left > right) == (sign > 0) else pair[1]


def _years_lived(lines: Sequence[Line]) -> Key | None:
    for line in lines:
        if life := lifespan(line.text):
            return (sum((d - b) / part for b, d, part in zip(life[0].key, life[1].key, (1, 12, 372), strict=True)),)
    return None


def _dated(query: Asked, lines: Sequence[Line]) -> Key | None:
    """The date that goes with the question's words; failing that, the first date that is said of the thing."""
    birth = not query.relation.isdisjoint(("born", "old", "young"))
    if birth or "die" in query.relation:
        for line in lines:
            if life := lifespan(line.text):
                return life[0].key if birth else life[1].key
    sought = query.relation | {"born"} if birth else query.relation
    found: list[tuple[int, Key]] = []
    for line in lines:
        hits = [match.start() for match in WORD.finditer(line.text) if stem(fold(match.group())) in sought]
        found += [(abs(date.start - hit), date.key) for date in dates(line.text) for hit in hits]
    nearest = min(found, key=lambda pair: pair[0], default=None)
    if nearest is not None and nearest[0] < _BESIDE:
        return nearest[1]
    return next((date.key for line in lines for date in dates(line.text)), None)


def _counted(query: Asked, lines: Sequence[Line]) -> Key | None:
    """The number before one of the question's words."""
    for line in lines:
        for number in numbers(line.text):
            after = words(line.text[number.end : number.end + 40])[:3]
            if any(stem(word) in query.relation for word in after):
                return number.key
    return None


def _told(view: Window, lines: Sequence[Line], own: set[str]) -> float:
    """The idf of those of the question's words, other than the two names, that stand in the lines."""
    keys = {key for line in lines for key in line.keys}
    return math.fsum(weight for key, weight in view.idf.items() if key in keys and stem(key[1:]) not in own)


def _says(lines: Sequence[Line], wanted: set[str]) -> bool:
    have = {stem(word) for line in lines for word in line.words}
    return len(wanted & have) >= _BOTH * len(wanted)


def _traits(lines: Sequence[Line]) -> set[str]:
    """Nationalities and places of the first two sentences: names after an article, a year or `in`, `of`, `from`."""
    found: set[str] = set()
    own = set(words(lines[0].subject))
    for line in lines[:2]:
        for name in names(line.text):
            before = line.text[max(0, name.start - 24) : name.start]
            if own.isdisjoint(words(name.text)) and _LEADS_TRAIT.search(before):
                found.add(fold(name.text))
    return found
