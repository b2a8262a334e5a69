"""Words, names, dates and numbers of a text, and the text as entries with a subject and sentences.

Morphology and general syntax only: no entity, place or topic is listed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

WORD = re.compile(r"[^\W_]+")


def listed(text: str) -> list[str]:
    """The words of `text`: a word list that reads like one."""
    return text.split()


STOP = frozenset(
    listed(
        "a an the this that these those it its he she they them him his her hers their theirs i me my mine we us our you "
        "your who whom whose which what when where why how is are was were be been being am do does did has have had can "
        "could will would shall should may might must and or but nor so yet if then than as at by for from in into of off "
        "on onto out over to under up with without about after before between during through until while since both each "
        "either neither any some all no not there here s t also too very just only same such other another one many much "
        "more most first last name called now currently today still"
    )
)
"""Function words, and words that say how to compare rather than what is asked."""
COPULA = re.compile(r"\b(?:is|are|was|were|has|have|had|became|remains)\b")
PRONOUNS = frozenset(listed("he she it they his her its their"))
_FAMILIES = (
    "born birth birthplace birthday birthdate",
    "die dies died dying dead death",
    "write wrote written writing writer author",
    "marry married marriage wife husband spouse",
    "live lives life reside residence",
    "work employ employer employed",
    "lead led leader head headed",
    "teach taught teacher",
    "win won winner",
    "build built builder",
    "old older age",
)
_IRREGULAR = {word: family.split()[0] for family in _FAMILIES for word in family.split()}
_SUFFIX = re.compile(r"(?<=...)(?:ations?|ating|ated|ates?|ments?|ings?|ions?|ers?|ors?|ied|ies|ed|es|ly|s|e|y)$")

_CAPITAL = r"(?:St\. |Mt\. |(?:[A-Z]\. ?)+)?[A-ZÀ-Þ][\w’'-]*"
_JOINED = rf"(?: (?:of|the|de|da|di|la|du|del|van|von|der|al)){{0,2}} {_CAPITAL}| & {_CAPITAL}"
_NAME = re.compile(rf"{_CAPITAL}(?:{_JOINED})*(?: \d{{1,3}}(?![\w,.]))?")
_MONTHS = listed("January February March April May June July August September October November December")
_CALENDAR = frozenset([*_MONTHS, *listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")])
_MONTH = f"(?:{'|'.join(_MONTHS)})"
_DATE = re.compile(
    r"\b(?P<y0>\d{4})[-/](?P<n0>\d\d)(?:[-/](?P<d0>\d\d))?\b"
    rf"|(?<!\d)(?P<d1>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<m1>{_MONTH}),? (?P<y1>\d{{4}})(?!\d)"
    rf"|\b(?P<m2>{_MONTH}) (?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y2>\d{{4}})(?!\d)"
    rf"|\b(?P<m3>{_MONTH}),? (?P<y3>\d{{4}})(?!\d)"
    r"|(?<![\d,.])(?P<y4>[12]\d{3})(?!\d|,\d|\.\d|%)"
)
_COUNTS = listed(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
)
_NUMBER = re.compile(rf"(?<![\w.,-])(?:\d{{1,12}}(?:,\d{{3}}){{0,6}}(?:\.\d{{1,6}})?|{'|'.join(_COUNTS)})(?![\w-])", re.I)

_BOUNDARY = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b(?:Mr|Ms|Dr|St|Mt|No|Jr|Lt)\.)(?<!\bMrs\.)[\"”’)]?\s+(?=[\"“(]?[A-ZÀ-Þ0-9])"
)
_BULLET = re.compile(r"(?:[-*•]|\d{1,4}[.)])\s+")
_MARK = re.compile(r"\[([^\[\]\n]{1,40})\]\s*")
_LEAD = re.compile(r"([^\s:.!?][^:.!?\n]{0,59}): (?=\S)")
_TAG = re.compile(r"</?\w+>")


@dataclass(frozen=True, slots=True)
class Span:
    """`text` is at `start:end`. `key` orders dates as (year, month, day), 0 = not stated, and numbers as (value,)."""

    text: str
    start: int
    end: int
    key: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a text. subject: the title above it, the speaker or label before a colon, or the name that opens its first
    sentence; "" when there is none. spoken: the subject is a label or speaker on the same line. ident, stamp: an id and a
    date in brackets."""

    sentences: tuple[str, ...]
    subject: str = ""
    spoken: bool = False
    stamp: str = ""
    ident: str = ""


def fold(text: str) -> str:
    """Lower case, without accents."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower()


def words(text: str) -> list[str]:
    """Folded words, function words included."""
    return WORD.findall(fold(text))


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """One form for the inflections of a folded word: the head of its listed family, or the word less one suffix."""
    if word in _IRREGULAR or len(word) < 4 or word[0].isdigit():
        return _IRREGULAR.get(word, word)
    short = _SUFFIX.sub("", word)
    return short[:-1] if len(short) > 3 and short[-1] == short[-2] else short


def stems(text: str) -> frozenset[str]:
    """Stems of the content words."""
    return frozenset(stem(word) for word in words(text) if word not in STOP)


def names(text: str) -> list[Span]:
    """Runs of capitalised words with small words such as `of` inside; no months, weekdays or single function words."""
    found = []
    for match in _NAME.finditer(text):
        start, name = match.start(), re.sub(r"['’]s?$", "", match.group().rstrip("-"))
        head, _, rest = name.partition(" ")
        if rest and fold(head) in STOP and head not in ("The", "A") and rest[0].isupper():
            start, name = start + len(head) + 1, rest
        if name.split()[0] not in _CALENDAR and not set(words(name)) <= STOP:
            found.append(Span(name, start, start + len(name)))
    return found


def dates(text: str) -> list[Span]:
    """Dates in full, months with a year, and years of four digits."""
    found = []
    for match in _DATE.finditer(text):
        part = match.groupdict()
        year = next(int(part[name]) for name in ("y0", "y1", "y2", "y3", "y4") if part[name])
        month = part["m1"] or part["m2"] or part["m3"]
        day = int(part["d0"] or part["d1"] or part["d2"] or 0)
        key = (year, _MONTHS.index(month) + 1 if month else int(part["n0"] or 0), day)
        found.append(Span(match.group(), *match.span(), key))
    return found


def numbers(text: str) -> list[Span]:
    """Numbers in digits, and `one` to `twenty`; dates are left out."""
    taken = [(date.start, date.end) for date in dates(text)]
    found = []
    for match in _NUMBER.finditer(text):
        word = match.group().lower()
        value = _COUNTS.index(word) + 1.0 if word in _COUNTS else float(word.replace(",", ""))
        if not any(start <= match.start() < end for start, end in taken):
            found.append(Span(match.group(), *match.span(), (value,)))
    return found


def date_of(stamp: str, sentence: str = "") -> tuple[float, ...]:
    """The date of a stamp, else the latest one in the sentence, else ()."""
    return max((date.key for date in dates(stamp) or dates(sentence)), default=())


def sentences(text: str) -> list[str]:
    """Split after `.`, `!`, `?` before a capital or a digit; not after initials and a few abbreviations."""
    cuts = [0, *(match.end() for match in _BOUNDARY.finditer(text)), len(text)]
    return [part for start, end in pairwise(cuts) if (part := text[start:end].strip())]


def entries(text: str) -> Iterator[Entry]:
    """The entries of a text in order. A short line without a full stop that opens a block of several is the title of the
    block. Recognised in front of a line: a bullet or number, `[id]`, `[date]`, `Subject: `."""
    for block in re.split(r"\n\s*\n", text):
        yield from _block(block)


@lru_cache(maxsize=1 << 12)  # the same documents come in many streams
def _block(block: str) -> tuple[Entry, ...]:
    lines = [line for raw in block.splitlines() if (line := raw.strip()) and not _TAG.fullmatch(line)]
    title = Entry(())
    found = []
    for place, line in enumerate(lines):
        ident, stamp, body = _marks(line)
        titled = place == 0 and len(lines) > 1 and 0 < len(body) <= 100 and body[-1] not in ".!?,;"
        if titled and not body.endswith(":") and not _marks(lines[1])[0] and not _LEAD.match(body):
            title = Entry((), body, stamp=stamp, ident=ident)
            continue
        lead = None if title.subject else _LEAD.match(body)
        said = tuple(sentences(body[lead.end() :] if lead else body))
        if said:
            subject = lead.group(1) if lead else title.subject or opening(said[0])
            found.append(Entry(said, subject, lead is not None, stamp or title.stamp, ident or title.ident))
    return tuple(found)


def alone(sentence: str, entry: Entry) -> str:
    """The sentence with a pronoun that opens it replaced by the entry's subject; a speaker's `he` is somebody else."""
    head, _, rest = sentence.partition(" ")
    pronoun = head.lower()
    if entry.spoken or not entry.subject or not rest or pronoun not in PRONOUNS:
        return sentence
    owns = pronoun in ("his", "its", "their") or (pronoun == "her" and not COPULA.match(rest))
    return f"{entry.subject}'s {rest}" if owns else f"{entry.subject} {rest}"


@lru_cache(maxsize=1 << 14)
def opening(sentence: str) -> str:
    """The name that a sentence opens with, else ""."""
    found = names(sentence[:120])
    return found[0].text if found and not sentence[: found[0].start].strip(" \"'“‘(") else ""


def _marks(line: str) -> tuple[str, str, str]:
    """(id, date, rest) of a line."""
    ident = stamp = ""
    if bullet := _BULLET.match(line):
        line = line[bullet.end() :]
    while match := _MARK.match(line):
        inner = match.group(1).strip()
        if not stamp and (re.search(r"\d{4}[-/]\d|\d:\d\d", inner) or (ident and dates(inner))):
            stamp = inner
        elif not ident and " " not in inner:
            ident = inner
        else:
            break
        line = line[match.end() :]
    return ident, stamp, line
