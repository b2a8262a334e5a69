"""The language of one split: its words, the sentences that state and ask for facts, and other sentences of its documents.

The texts are data: `_data/synth/SPLIT.yaml`, one file per split, read when a split is first used; `shared.yaml` has the
endings of coined words. A coined word (the name of a person, town, organisation, river or prize) begins with one of its
split's three-letter syllables, so its first three letters identify the split, and its ending the type. English value words
(professions, goods, words of book titles) are in lists that are disjoint between splits. Two splits share no entity,
whatever the seed.

Slots: {x} subject, {v} value, {av} value with its article, {since} year, {date} month and year, {old} the value before, {a}
and {b} the two that are compared, {other} another person, {n} a number from 21 to 98, {year} a past year, {weekday},
{season}, {object} plural things, {month} month and year of the document.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from memeval.yamlfile import read_yaml

SPLITS = ("train", "validation", "test")

_FOLDER = Path(__file__).parent.parent / "_data" / "synth"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words of one split. `syllables` have exactly three letters; the other fields are English words."""

    syllables: tuple[str, ...]
    title_adjectives: tuple[str, ...]
    title_nouns: tuple[str, ...]
    organisation_nouns: tuple[str, ...]
    prize_nouns: tuple[str, ...]
    professions: tuple[str, ...]
    products: tuple[str, ...]
    trades: tuple[str, ...]
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Phrases:
    """The sentences of one split about one relation.

    statements: sentences of documents (for a changing relation: with its first value). changes: sentences that state a new
    value. questions: direct questions. paraphrases: questions that share no content word with any statement. yes_no: claims
    as questions. descriptions: noun phrases for the value (`the author of {x}`). comparisons: (question, which value wins:
    "least" or "most").
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
    """The other sentences and titles in the documents of one split.

    openings: first sentences per kind of entity, without facts. bulletins: first sentences of documents about a change.
    noise: sentences per kind that state no relation. tails: clauses that may be added to such a sentence. asides: sentences
    about no entity. nouns: the common noun for each kind, used after the name. titles: of an entity's second document, per
    kind. news_titles: of a document about a change, with {x} and {month}.
    """

    openings: Mapping[str, tuple[str, ...]]
    bulletins: tuple[str, ...]
    noise: Mapping[str, tuple[str, ...]]
    asides: tuple[str, ...]
    tails: tuple[str, ...]
    nouns: Mapping[str, str]
    titles: Mapping[str, tuple[str, ...]]
    news_titles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """The language of one split. phrases: name of relation -> its sentences."""

    lexicon: Lexicon
    phrases: Mapping[str, Phrases]
    prose: Prose


@functools.cache
def language(split: str) -> Language:
    """The language of one of SPLITS, read once per process."""
    return msgspec.convert(read_yaml(_FOLDER / f"{split}.yaml"), Language)


@functools.cache
def endings(kind: str) -> tuple[str, ...]:
    """The endings of coined words of a type: female, male, surname, town, town_middle, organisation, river, prize, book."""
    return msgspec.convert(read_yaml(_FOLDER / "shared.yaml")[kind], tuple[str, ...])
