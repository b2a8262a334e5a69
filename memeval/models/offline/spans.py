"""The shapes of names, dates and numbers in a sentence. Offsets are in characters of that sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memeval.models.offline.words import STOP, listed

_MONTHS = "January February March April May June July August September October November December"
MONTHS = {name.lower(): number for number, name in enumerate(_MONTHS.split(), start=1)}
_DAYS = listed("monday tuesday wednesday thursday friday saturday sunday")
_INNER = listed("of the de da di del della la le les du des von van der den af al el bin ibn y e")
_ABBREVIATED = listed("mr mrs ms dr st jr sr prof rev mt ft lt col gen capt inc ltd co no vs")
_TOKEN = re.compile(r"[^\W_]+(?:['’.&/][^\W_]+)*\.?")
_NAME = re.compile(r"T?U(?:[UTSn]|[cTS]{1,2}(?=U))*")
_QUOTED = re.compile(r"[\"“]\s?([^\"“”\n]{2,80}?),?\s?[\"”]")
_MONTH = f"(?:{_MONTHS.replace(' ', '|')})"
_DATE = re.compile(
    r"\b(?P<y0>\d{4})-(?P<n0>\d\d)-(?P<d0>\d\d)\b"
    rf"|(?<!\d)(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?(?P<m1>{_MONTH}),?\s(?P<y1>\d{{4}})(?!\d)"
    rf"|\b(?P<m2>{_MONTH})\s(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,?\s(?P<y2>\d{{4}})(?!\d)"
    rf"|\b(?P<m3>{_MONTH}),?\s(?P<y3>\d{{4}})(?!\d)"
    r"|(?<![\d,.])(?P<y4>[12]\d{3})(?!\d|,\d|\.\d|%)"
)
_YEAR = re.compile(r"\d{4}")
_COUNTS = "one two three four five six seven eight nine ten eleven twelve"
_COUNT = {word: value for value, word in enumerate(_COUNTS.split(), start=1)}
_COUNT |= {"once": 1, "twice": 2, "twenty": 20, "thirty": 30}
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9}
_NUMBER = re.compile(
    rf"(?<![\w.,])(?:(?P<digits>\d{{1,12}}(?:,\d{{3}}){{0,6}}(?:\.\d{{1,6}})?)|\b(?P<word>{'|'.join(_COUNT)})\b)"
    r"(?:[ -](?P<scale>hundred|thousand|million|billion)\b)?(?![\w])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Span:
    """`text` stands at `start:end`. `key` orders dates as (year, month, day), 0 = not stated, and numbers as (value,)."""

    text: str
    start: int
    end: int
    key: tuple[float, ...] = ()


def names(text: str) -> list[Span]:
    """Runs of capitalised words, with small words such as `of` and `de` inside them. Capitalised function words, months
    and weekdays are no names, nor is a participle that opens the text.

    The tokens are written as a string of one letter each (U capitalised, T article, S other capitalised function word,
    c connector, n short number, x anything else, | a gap that no name bridges), and a name is a pattern over these.
    """
    shape: list[str] = []
    ends: list[tuple[int, int]] = []
    before = 0
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        word = token.group()
        bare = word.rstrip(".")
        if word[-1] == "." and not (len(bare) == 1 or "." in bare or bare.lower() in _ABBREVIATED):
            word, end = bare, end - 1
        possessive = word[-2:] in ("'s", "’s")
        if possessive:
            word, end = word[:-2], end - 2
        if before and text[before:start] not in (" ", "-", "'", "’ ", "' "):
            shape.append("|")
            ends.append((start, start))
        shape.append(_letter(word, first=not ends))
        ends.append((start, end))
        before = end
        if possessive or end < token.end():
            shape.append("|")
            ends.append((end, end))
            before = 0
    found = []
    for match in _NAME.finditer("".join(shape)):
        start, end = ends[match.start()][0], ends[match.end() - 1][1]
        found.append(Span(text[start:end], start, end))
    return found


def _letter(word: str, first: bool) -> str:
    lower = word.lower()
    if word[0].isupper():
        if lower in ("the", "a", "an"):
            return "T"
        if lower in MONTHS or lower in _DAYS or (first and len(word) > 4 and lower.endswith(("ed", "ing", "ly"))):
            return "x"
        return "S" if lower in STOP and not (len(word) > 1 and word.isupper()) else "U"
    if lower in _INNER:
        return "c"
    return "n" if word.isdigit() and len(word) <= 2 else "x"


def quoted(text: str) -> list[Span]:
    """What stands between double quotes."""
    return [Span(match.group(1).strip(), *match.span(1)) for match in _QUOTED.finditer(text) if match.group(1).strip()]


def dates(text: str) -> list[Span]:
    """Dates in full, months with a year, and years of four digits."""
    found: list[Span] = []
    if not _YEAR.search(text):
        return found
    for match in _DATE.finditer(text):
        part = match.groupdict()
        year = next(int(part[name]) for name in ("y0", "y1", "y2", "y3", "y4") if part[name])
        name = part["m1"] or part["m2"] or part["m3"]
        month = MONTHS[name.lower()] if name else int(part["n0"] or 0)
        day = int(part["d0"] or part["d1"] or part["d2"] or 0)
        found.append(Span(match.group(), *match.span(), key=(year, month, day)))
    return found


def numbers(text: str) -> list[Span]:
    """Numbers in digits or small words, with `million` and the like; dates are left out."""
    taken = [(date.start, date.end) for date in dates(text)]
    found = []
    for match in _NUMBER.finditer(text):
        if any(start <= match.start() < end for start, end in taken):
            continue
        digits = match["digits"]
        value = float(digits.replace(",", "")) if digits else float(_COUNT[match["word"].lower()])
        value *= _SCALES.get((match["scale"] or "").lower(), 1.0)
        found.append(Span(match.group(), *match.span(), key=(value,)))
    return found
