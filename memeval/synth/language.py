"""The shape of what one split can say; the words stand in phrases_*.py (facts and questions) and prose_*.py (the rest).

Slots: {x} subject, {v} value, {av} value with its article, {since} year, {date} month and year, {old} the value before, {a}
and {b} the two compared, {other} another person, {n} a number from 21 to 98, {year} a past year, {weekday}, {season},
{object} plural things, {month} month and year of the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """How one split words one relation.

    statements: sentences of documents (for a changing relation: its first value). changes: sentences that state a new
    value. questions: direct. paraphrases: share no content word with any statement. yes_no: a claim as a question.
    descriptions: noun phrases for the value (`the author of {x}`). comparisons: (question, wanted: "least" or "most").
    """

    statements: tuple[str, ...]
    questions: tuple[str, ...]
    paraphrases: tuple[str, ...] = ()
    yes_no: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    comparisons: tuple[tuple[str, str], ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prose:
    """What the documents of one split say besides facts.

    openings: a first sentence per kind of entity, without any asked fact. bulletins: first sentences of documents about
    news. noise: sentences per kind that state no relation. tails: clauses that may be added to such a sentence. asides:
    sentences about no entity. nouns: what a kind may be called after it was named. titles: of an entity's second document,
    per kind. news_titles: of a document about a change, with {x} and {month}.
    """

    openings: Mapping[str, tuple[str, ...]]
    bulletins: tuple[str, ...]
    noise: Mapping[str, tuple[str, ...]]
    asides: tuple[str, ...]
    tails: tuple[str, ...]
    nouns: Mapping[str, str]
    titles: Mapping[str, tuple[str, ...]]
    news_titles: tuple[str, ...] = ("{x}, {month}",)


@dataclass(frozen=True, slots=True)
class Language:
    """phrases: by name of relation."""

    phrases: Mapping[str, Phrases]
    prose: Prose
