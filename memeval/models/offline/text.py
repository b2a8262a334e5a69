"""Words, names, dates and numbers of a text, and the text as entries with a subject and sentences.

Morphology and general syntax only: no entity, place or topic is listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from memeval.yamlfile import read_yaml

WORD = re.compile(r"[^\W_]+")
_WORDS = read_yaml(Path(__file__).parents[2] / "_data" / "offline.yaml")
STOP = frozenset(WORD.findall(_WORDS["function_words"]))
"""Function words, and words that say how to compare rather than what is asked."""
_FAMILIES: dict[str, str] = {word: family.split()[0] for family in _WORDS["families"] for word in family.split()}
_SUFFIX = re.compile(r"(?<=...)(?:ations?|ating|ated|ates?|ments?|ings?|ions?|ers?|ors?|ied|ies|ed|es|ly|s|e|y)$")

_CAPITAL = r"(?:St\. |Mt\. |(?:[A-Z]\. ?)+)?[A-ZÀ-Þ][\w’'-]*"
_JOINED = rf"(?: (?:of|the|de|da|di|la|du|del|van|von|der|al)){{0,2}} {_CAPITAL}| & {_CAPITAL}"
_NAME = re.compile(rf"{_CAPITAL}(?:{_JOINED})*(?: \d{{1,3}}(?![\w,.]))?")
_MONTHS = WORD.findall(_WORDS["months"])
_CALENDAR = frozenset([*_MONTHS, *WORD.findall(_WORDS["weekdays"])])
_MONTH = f"(?:{'|'.join(_MONTHS)})"
_DATE = re.compile(
    r"\b(?P<y0>\d{4})[-/](?P<n0>\d\d)(?:[-/](?P<d0>\d\d))?\b"
    rf"|(?<!\d)(?P<d1>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<m1>{_MONTH}),? (?P<y1>\d{{4}})(?!\d)"
    rf"|\b(?P<m2>{_MONTH})(?: (?P<d2>\d{{1,2}})(?:st|nd|rd|th)?)?,? (?P<y2>\d{{4}})(?!\d)"
    r"|(?<![\d,.])(?P<y3>[12]\d{3})(?!\d|,\d|\.\d|%)"
)
_COUNTS = "|".join(WORD.findall(_WORDS["numbers"]))
_NUMBER = re.compile(rf"(?<![\w.,-])(?:\d{{1,12}}(?:,\d{{3}}){{0,6}}(?:\.\d{{1,6}})?|{_COUNTS})(?![\w-])", re.I)

_BOUNDARY = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b(?:Mr|Ms|Dr|St|Mt|No|Jr|Lt)\.)(?<!\bMrs\.)[\"”’)]?\s+(?=[\"“(]?[A-ZÀ-Þ0-9])"
)
_LINE = re.compile(
    r"(?:(?:[-*•]|\d{1,4}[.)])\s+)?"  # a bullet or number
    r"(?:\[(?P<ident>(?![^\]\s]*\d[-/:]\d)[^\[\]\s]{1,40})\]\s*)?"  # an id has no blank and no date
    r"(?:\[(?P<stamp>[^\[\]\n]{1,40})\]\s*)?"
    r"(?:(?P<label>[^\s:.!?][^:.!?\n]{0,59}): (?=\S))?"
    r"(?P<body>.*)"
)


@dataclass(frozen=True, slots=True)
class Span:
    """`text` begins at `start`. key: of a date (year, month, day), 0 = not stated; it orders dates."""

    text: str
    start: int
    key: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line says of one subject: the label or speaker in front of it, the title above it, or the name that it opens
    with; "" when there is none. stamp, ident: a date and an id in brackets."""

    subject: str
    stamp: str
    sentences: tuple[str, ...]
    ident: str = ""

    def named(self, text: str) -> str:
        """Words of this entry with its subject in front, unless they open with it."""
        return text if text.startswith(self.subject) else f"{self.subject}: {text}"


def words(text: str) -> list[str]:
    """In lower case, function words included."""
    return WORD.findall(text.lower())


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """One form for the inflections of a word in lower case: the head of its listed family, or the word less one suffix."""
    if word in _FAMILIES or len(word) < 4 or word[0].isdigit():
        return _FAMILIES.get(word, word)
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
        if rest and head.lower() in STOP and head not in ("The", "A") and rest[0].isupper():
            start, name = start + len(head) + 1, rest
        if name.split()[0] not in _CALENDAR and not set(words(name)) <= STOP:
            found.append(Span(name, start))
    return found


def dates(text: str) -> list[Span]:
    """Dates in full, months with a year, and years of four digits."""
    found = []
    for match in _DATE.finditer(text):
        part = {name[0]: value for name, value in match.groupdict().items() if value}
        month = _MONTHS.index(part["m"]) + 1 if "m" in part else int(part.get("n", 0))
        found.append(Span(match.group(), match.start(), (int(part["y"]), month, int(part.get("d", 0)))))
    return found


def numbers(text: str) -> list[Span]:
    """Numbers in digits, and `one` to `seventeen`; those within dates are left out."""
    undated = _DATE.sub(lambda date: " " * len(date.group()), text)
    return [Span(match.group(), match.start()) for match in _NUMBER.finditer(undated)]


def entries(text: str) -> Iterator[Entry]:
    """The entries of a text in order, one for each line. A short line without a full stop that opens a block of several is
    the title of the block."""
    for block in re.split(r"\n\s*\n", text):
        lines = [line for raw in block.splitlines() if (line := raw.strip())]
        title = titled = ""
        for place, line in enumerate(lines):
            match = _LINE.match(line)
            assert match is not None  # every part of it may be missing
            ident, stamp, label, body = (part or "" for part in match.groups())
            opens_block = place == 0 and len(lines) > 1
            if opens_block and not label and 0 < len(body) <= 100 and body[-1] not in ".!?,;:":
                title, titled = body, stamp
            elif said := _sentences(body):
                yield Entry(label or title or _opening(said[0]), stamp or titled, said, ident)


def _sentences(text: str) -> tuple[str, ...]:
    """Split after `.`, `!`, `?` before a capital or a digit; not after initials and a few abbreviations."""
    cuts = [0, *(match.end() for match in _BOUNDARY.finditer(text)), len(text)]
    return tuple(part for start, end in pairwise(cuts) if (part := text[start:end].strip()))


def _opening(sentence: str) -> str:
    """The name that a sentence opens with, else ""."""
    return next((name.text for name in names(sentence[:120]) if name.start == 0), "")
