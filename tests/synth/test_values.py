"""How values are written, and what counts as the same."""

from __future__ import annotations

import datetime
import random

import pytest

from memeval.synth import values
from memeval.synth.values import Value


@pytest.mark.parametrize(
    ("date", "forms"),
    [
        ("1987-03-03", "3 March 1987|March 3, 1987|the 3rd of March 1987|1987-03-03|3rd March 1987"),
        ("1960-11-21", "21 November 1960|November 21, 1960|the 21st of November 1960|1960-11-21|21st November 1960"),
        ("1970-01-12", "12 January 1970|January 12, 1970|the 12th of January 1970|1970-01-12|12th January 1970"),
        ("1981-08-22", "22 August 1981|August 22, 1981|the 22nd of August 1981|1981-08-22|22nd August 1981"),
    ],
)
def test_a_date_is_accepted_in_every_usual_form(date: str, forms: str) -> None:
    assert values.day(datetime.date.fromisoformat(date)).accepted() == tuple(forms.split("|"))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"), (7, "seven"), (13, "thirteen"), (20, "twenty"), (42, "forty-two"), (100, "one hundred"),
        (305, "three hundred and five"), (312, "three hundred and twelve"), (999, "nine hundred and ninety-nine"),
    ],
)  # fmt: skip
def test_numbers_in_words(number: int, words: str) -> None:
    assert values.in_words(number) == words


def test_a_count_is_accepted_in_digits_and_words_with_and_without_its_unit() -> None:
    assert values.count(7).accepted("bridges") == ("7", "seven", "7 bridges", "seven bridges")
    assert values.count(312).accepted()[:3] == ("312", "three hundred and twelve", "three hundred twelve")


def test_a_document_writes_only_forms_that_are_accepted() -> None:
    rng = random.Random(0)
    for value in (values.day(datetime.date(1987, 3, 3)), values.count(7), values.count(480), values.year(2019)):
        written = {value.written(rng) for _ in range(50)}
        assert written <= set(value.accepted())
    assert len({values.day(datetime.date(1987, 3, 3)).written(rng) for _ in range(50)}) == 3


@pytest.mark.parametrize(("word", "phrase"), [("engraver", "an engraver"), ("potter", "a potter")])
def test_articles(word: str, phrase: str) -> None:
    assert Value("word", word).with_article() == phrase
