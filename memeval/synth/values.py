"""Typed values of facts: the forms in which documents write them, and the answers that count as right.

Types: person, town, work, organisation, river, prize (names); word (an English word or phrase); date (a day), year, count
(a whole number from 0 to 999).
"""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


@dataclass(frozen=True, slots=True)
class Value:
    """type: see the module. text: the canonical form. key: the number that comparisons use (of a day, a year, a count)."""

    type: str
    text: str
    key: int = 0

    def written(self, rng: random.Random) -> str:
        """A random form in which a document writes the value; it is one of `accepted`."""
        if self.type == "date":
            return rng.choice(dates(datetime.date.fromordinal(self.key))[:3])
        if self.type == "count":
            return in_words(self.key) if self.key < 20 and rng.random() < 0.7 else self.text
        return self.text

    def accepted(self, unit: str = "") -> tuple[str, ...]:
        """All forms that count as right, the canonical one first. unit: of a count, such as `pages`."""
        if self.type == "date":
            return dates(datetime.date.fromordinal(self.key))
        if self.type == "count":
            words = in_words(self.key)
            forms = (self.text, words, words.replace(" and ", " "))
            return tuple(dict.fromkeys((*forms, *(f"{form} {unit}" for form in forms if unit))))
        if self.type == "river":
            return (self.text, f"river {self.text}", f"{self.text} river")
        return (self.text,)

    def with_article(self) -> str:
        """The text with its indefinite article: `an engraver`, `a potter`."""
        return f"{'an' if self.text[0] in 'aeiou' else 'a'} {self.text}"


def day(date: datetime.date) -> Value:
    return Value("date", dates(date)[0], date.toordinal())


def year(number: int) -> Value:
    return Value("year", str(number), number)


def count(number: int) -> Value:
    return Value("count", str(number), number)


def dates(date: datetime.date) -> tuple[str, ...]:
    """The forms of a date: `3 March 1987`, `March 3, 1987`, `the 3rd of March 1987`, `1987-03-03`, `3rd March 1987`."""
    month = MONTHS[date.month - 1]
    ordinal = f"{date.day}{_ending(date.day)}"
    return (
        f"{date.day} {month} {date.year}",
        f"{month} {date.day}, {date.year}",
        f"the {ordinal} of {month} {date.year}",
        date.isoformat(),
        f"{ordinal} {month} {date.year}",
    )


def _ending(number: int) -> str:
    return "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def in_words(number: int) -> str:
    """A number from 0 to 999 in words: `three hundred and twelve`."""
    hundreds, rest = divmod(number, 100)
    if rest < 20:
        tail = _SMALL[rest]
    else:
        tens, ones = divmod(rest, 10)
        tail = _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")
    if not hundreds:
        return tail
    return f"{_SMALL[hundreds]} hundred" + (f" and {tail}" if rest else "")
