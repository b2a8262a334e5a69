"""The fictional world: circles of people, books, firms and towns, and the facts about them.

A circle is a small group of related entities, a pure function of (split, seed, index): nothing is stored, any number can be
made, and no two circles of a split and seed share an entity that has articles. Circles of the same region may name its towns
(as birthplaces, homes and seats), so names of towns recur. `WORLD` circles in a row are a world; the documents of world 0
are the pool from which distractors are drawn.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from memeval.synth import values
from memeval.synth.language import language
from memeval.synth.names import Names
from memeval.synth.relations import ORGANISATION, PERSON, RELATIONS, TOWN, WORK, Entity, of
from memeval.synth.values import Value

WORLD = 180
"""The number of circles in a world: enough documents for the longest stream (6400) besides those that a question
excludes."""

REGION = 10
"""The number of neighbouring circles that name each other's towns."""

FIRST_CHANGE, LAST_CHANGE = 2037, 2049
"""Years: first values are reported before FIRST_CHANGE, and no value changes after October of LAST_CHANGE."""

_PEOPLE, _OTHERS = 6, 24  # with articles; named only (teachers, directors, mayors)
_WORKS, _FIRMS, _TOWNS = 3, 2, 2
_MOVERS = 2  # people whose residence is stated
_EARLY_ENTITIES = 3
_BIRTHS = range(datetime.date(1955, 1, 1).toordinal(), datetime.date(1990, 1, 1).toordinal())


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of a relation. since: for a changing relation, the date from which it holds (a first value: 1 January)."""

    entity: Entity
    relation: str
    value: Value
    since: datetime.date | None = None

    @property
    def key(self) -> Key:
        return self.entity.name, self.relation


Key = tuple[str, str]
"""(name of the entity, relation): a question asks for its value, a sentence states it."""


@dataclass(slots=True)
class Circle:
    """A circle. entities: by name. facts: key -> its values in order of time (one, unless the relation changes). early:
    names of the entities whose first document is from the early years. second: the keys that an entity's second document
    states."""

    index: int
    entities: dict[str, Entity] = field(default_factory=dict)
    facts: dict[Key, tuple[Fact, ...]] = field(default_factory=dict)
    early: tuple[str, ...] = ()
    second: frozenset[Key] = frozenset()

    def of_kind(self, kind: str) -> list[Entity]:
        return [entity for entity in self.entities.values() if entity.kind == kind]

    def value(self, key: Key) -> Value:
        """The latest value of a key."""
        return self.facts[key][-1].value


def circle(names: Names, index: int, nouns: Mapping[str, str]) -> Circle:
    """The circle with this index. nouns: the common nouns for a book, a firm and a town, used after the name."""
    rng = random.Random(f"circle/{names.split}/{names.seed}/{index}")
    found = Circle(index)
    for entity in _entities(names, index, nouns):
        found.entities[entity.name] = entity
    others = _others(names, index)
    for entity, relation, value in _static_facts(found, names, others, rng):
        found.facts[entity.name, relation] = (Fact(entity, relation, value),)
    for history in _changing(found, names, others, rng):
        found.facts[history[0].key] = history
    movers = {entity.name for entity in found.of_kind(PERSON)[:_MOVERS]}
    found.early = tuple(rng.sample([name for name in found.entities if name not in movers], _EARLY_ENTITIES))
    second: set[Key] = set()
    for entity in found.entities.values():
        keys = [(entity.name, relation) for relation in of(entity.kind)]
        second.update(rng.sample(keys, len(keys) // 2))
    found.second = frozenset(second)
    return found


def _static_facts(
    circle: Circle, names: Names, others: Iterator[str], rng: random.Random
) -> Iterator[tuple[Entity, str, Value]]:
    """(entity, relation, value) of the facts that never change."""
    words = language(names.split).lexicon
    people, works, firms, towns = (circle.of_kind(kind) for kind in (PERSON, WORK, ORGANISATION, TOWN))
    region = town_names(names, circle.index)

    def town() -> Value:
        return Value("town", rng.choice(towns).name if rng.random() < 0.5 else rng.choice(region))

    births = rng.sample(_BIRTHS, len(people))
    professions = rng.sample(words.professions, len(people))
    for person, birth, profession in zip(people, births, professions, strict=True):
        yield person, "birth", values.day(datetime.date.fromordinal(birth))
        yield person, "birthplace", town()
        yield person, "profession", Value("word", profession)
        yield person, "mentor", Value("person", next(others))
        yield person, "prize", Value("prize", names.prize(rng))
    lengths, years = rng.sample(range(120, 900), len(works)), rng.sample(range(2015, 2030), len(works))
    for work, length, year in zip(works, lengths, years, strict=True):
        yield work, "author", Value("person", rng.choice(people).name)
        yield work, "published", values.year(year)
        yield work, "length", values.count(length)
        yield work, "setting", town()
    starts, trades = rng.sample(range(2008, 2020), len(firms)), rng.sample(words.trades, len(firms))
    founders = rng.sample(people, len(firms))
    for firm, start, trade, founder in zip(firms, starts, trades, founders, strict=True):
        yield firm, "founder", Value("person", founder.name)
        yield firm, "founded", values.year(start)
        yield firm, "trade", Value("word", trade)
    bridges, products = rng.sample(range(3, 20), len(towns)), rng.sample(words.products, len(towns))
    for place, number, product in zip(towns, bridges, products, strict=True):
        yield place, "river", Value("river", names.river(rng))
        yield place, "product", Value("word", product)
        yield place, "bridges", values.count(number)


def _changing(circle: Circle, names: Names, others: Iterator[str], rng: random.Random) -> Iterator[tuple[Fact, ...]]:
    """The values over time for each relation that changes; no value recurs."""
    region = town_names(names, circle.index)
    for entity in (*circle.of_kind(PERSON)[:_MOVERS], *circle.of_kind(ORGANISATION), *circle.of_kind(TOWN)):
        relations = of(entity.kind, changing=True)
        for relation, dates in zip(relations, _change_dates(rng, len(relations)), strict=True):
            kind = RELATIONS[relation].value
            texts = rng.sample(region, len(dates)) if kind == TOWN else [next(others) for _ in dates]
            yield tuple(Fact(entity, relation, Value(kind, text), date) for text, date in zip(texts, dates, strict=True))


def _entities(names: Names, index: int, nouns: Mapping[str, str]) -> Iterator[Entity]:
    for place in range(_PEOPLE):
        yield names.person(index * (_PEOPLE + _OTHERS) + place)
    for place in range(_WORKS):
        yield Entity(WORK, names.book(index * _WORKS + place), nouns[WORK], "It")
    for place in range(_FIRMS):
        yield Entity(ORGANISATION, names.organisation(index * _FIRMS + place), nouns[ORGANISATION], "It")
    for place in range(_TOWNS):
        yield Entity(TOWN, names.town(index * _TOWNS + place), nouns[TOWN], "It")


def _others(names: Names, index: int) -> Iterator[str]:
    """The names of people who are only mentioned, each in one fact."""
    start = index * (_PEOPLE + _OTHERS) + _PEOPLE
    return (names.person(start + place).name for place in range(_OTHERS))


def town_names(names: Names, index: int) -> list[str]:
    """The towns of a circle's region."""
    start = index // REGION * REGION * _TOWNS
    return [names.town(start + place) for place in range(REGION * _TOWNS)]


def _change_dates(rng: random.Random, relations: int) -> Iterator[list[datetime.date]]:
    """For each relation, the first days of its values: a first one from 2020 to 2029, then one to three changes; no two
    changes of an entity are in the same month."""
    counts = [rng.choice((1, 2, 2, 3)) for _ in range(relations)]
    months = rng.sample(range(FIRST_CHANGE * 12, LAST_CHANGE * 12 + 10), sum(counts))
    for count in counts:
        chosen, months = sorted(months[:count]), months[count:]
        first = datetime.date(rng.randint(2020, 2029), 1, 1)
        yield [first, *(datetime.date(month // 12, month % 12 + 1, 1) for month in chosen)]
