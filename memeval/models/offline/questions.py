"""What a question asks for: the names in it, its other content words, and the type of answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memeval.models.offline.spans import dates, names, quoted
from memeval.models.offline.words import STOP, fold, listed, stem, words

LONGEST = 1000
"""Characters of a question whose syntax is looked at; its words are all used."""
_TIMED = re.compile(r"\[[^\]\n]{1,40}\]\s*")
_ASKING = re.compile(r"\b(?:who|whom|whose|what|which|when|where|why|how)\b", re.IGNORECASE)
_YES_NO = re.compile(r"(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|should)\b", re.IGNORECASE)
_OR = re.compile(r"\bor\s(?:(?:the|an?)\s(?:[a-z]+\sof\s)?)?[\"“'(]?[^\W_a-z]")
_AMONG = re.compile(r"(?:between|out of|of|among|from)\s", re.IGNORECASE)
_OF_TWO = re.compile(r"\b(?:[Ww]ho|[Ww]hich|first|older|younger|last|one)(?:\sout)?\sof\s[A-Z].{0,200}\sand\s")
_HOW = re.compile(r"how (?:(many|much|old|tall|long|far|large|big|high|often)|is|are|was|were|do|does|did|can|has|have)\b")
_COPULAR = listed("is was are were")
_ARTICLES = listed("the a an his her its their")
_ENDS_HEAD = _COPULAR | listed(
    "do does did has have had can could will would of in on at for from by to that who which with be been and"
)
_DATES = listed("date day month birthday birthdate decade century time")
_PLACES = listed("place city country state town village county region province district continent location capital area")
_OCCUPATIONS = listed("occupation profession job trade")
_PERSONS = re.compile(
    r"(?:person|people|man|woman|actors?|actress|(?<=..)(?:er|or|ist|ian|ess)s?|son|father|wife|husband|king|queen|name)$"
)
_NOT_PERSONS = listed("number river order career paper water letter character member newspaper computer tower center power")


@dataclass(frozen=True, slots=True)
class Asked:
    """`kind`: yes-no, either, person, date, year, place, number, nationality, definition or thing. `names`: the words of
    each name in the question. `content`: its content words, folded; `relation`: stems of those outside names. `head`: stem
    of the noun after `which` or `what`. `years`: those it states."""

    text: str
    kind: str
    names: tuple[tuple[str, ...], ...]
    content: frozenset[str]
    relation: frozenset[str]
    head: str
    years: frozenset[int]


def asked(question: str) -> Asked:
    """Analyse a question. A time in brackets before it is left out; of several sentences the last one asks."""
    text = " ".join(_TIMED.sub("", question.strip(), count=1).split())
    last = re.split(r"(?<=[.!])\s(?=[A-Z])", text)[-1]
    part = (last if _ASKING.search(last) or _YES_NO.match(last) else text)[:LONGEST]
    kind, head = _kind(part)
    found = _names(text)
    inside = {word for name in found for word in name}
    content = frozenset(w for w in words(text) if (w not in STOP or w in inside) and not _ASKING.fullmatch(w))
    says_type = kind in ("date", "year", "place", "nationality") and stem(head) != "born"  # a sentence need not say `city`
    typed = {head} if says_type or head in _OCCUPATIONS else set()
    relation = frozenset(stem(word) for word in content - inside - typed)
    if head in _OCCUPATIONS or (kind in ("thing", "person") and found and not relation and not head):
        kind = "definition"
    if _is_choice(part):
        kind = "either"
    years = frozenset(int(date.key[0]) for date in dates(text))
    return Asked(text[:LONGEST], kind, found, content, relation, stem(head), years)


def _names(text: str) -> tuple[tuple[str, ...], ...]:
    """Words of the names, quoted titles included; a word that the question opens with is no name for its capital alone."""
    found: list[tuple[str, ...]] = []
    for span in [*quoted(text), *names(text)]:
        parts = tuple(words(span.text))
        if span.start == 0 and parts and (parts[0] in STOP or _YES_NO.fullmatch(parts[0])):
            parts = parts[1:]
        parts = tuple(part for part in parts if part not in ("s", "the", "a", "an"))
        if any(part not in STOP for part in parts) and not any(set(parts) <= set(other) for other in found):
            found.append(parts)
    return tuple(found)


def _is_choice(text: str) -> bool:
    """`Which ..., A or B?`, `Was A or B ...?`, `Between A and B, who ...?`, `Which of A and B ...?`"""
    if _OR.search(text):
        return bool(_ASKING.match(text) or _YES_NO.match(text) or _AMONG.match(text))
    return bool(_AMONG.match(text) or _OF_TWO.search(text))


def _kind(text: str) -> tuple[str, str]:
    """The type of answer, and the head noun of a `which` or `what` phrase ("" when there is none).

    The word that asks is the first word of the question, else `what` or `how` within it, else the last such word (`who`
    and `which` within a question mostly begin a relative clause).
    """
    low = fold(text)
    opens = _ASKING.match(low)
    if opens and opens.group() == "how" and not _HOW.match(low):
        opens = None
    if not opens and _YES_NO.match(low):
        return "yes-no", ""
    inner = list(_ASKING.finditer(low))
    main = opens or next((match for match in inner if match.group() in ("what", "how")), inner[-1] if inner else None)
    if main is None:
        return "thing", ""
    word, rest = main.group(), low[main.start() :]
    if word == "how":
        counts = _HOW.match(rest)
        return ("number" if counts and counts.group(1) else "thing"), ""
    fixed = {"who": "person", "whom": "person", "whose": "person", "when": "date", "where": "place"}.get(word)
    if fixed:
        return fixed, ""
    head = _head(text[main.start() :])
    return _kind_of(head), head


def _head(text: str) -> str:
    """The noun of `which famous director ...` and of `what is the largest city of ...`: the last word before a verb, a
    preposition, a name or a mark; of `what is X's birthplace` what X owns; none of `what is X`."""
    head = ""
    found = re.findall(r"[\w'’-]+|[?,.;:\"]", text)[1:8]
    if found and found[0].lower() in _COPULAR:
        found = found[1:]
        while found and found[0].lower() in _ARTICLES:
            found = found[1:]
        if not found or found[0][0].isupper():
            owner = next((place for place, word in enumerate(found) if word.endswith(("'s", "’s"))), len(found))
            found = found[owner + 1 :]
    for word in found:
        low = fold(word)
        if low in _ENDS_HEAD or not word[0].isalnum() or (head and word[0].isupper()):
            break
        if _kind_of(head) != "thing" and _kind_of(low) == "thing":
            break  # `which actor sang`
        head = low if low not in STOP else head
    return (words(head) or [""])[-1]


def _kind_of(head: str) -> str:
    if head == "year":
        return "year"
    if head in _DATES:
        return "date"
    if head in _PLACES or head == "birthplace":
        return "place"
    if head in ("nationality", "citizenship", "ethnicity"):
        return "nationality"
    if head in ("number", "population", "amount"):
        return "number"
    return "person" if _PERSONS.search(head) and head not in _NOT_PERSONS else "thing"
