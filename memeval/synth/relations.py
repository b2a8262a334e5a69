"""The entities of the fictional worlds, and their relations. A relation has one value per subject, or one at a time
(`changing`), so that answers are unique."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PERSON, WORK, ORGANISATION, TOWN = "person", "work", "organisation", "town"


@dataclass(frozen=True, slots=True)
class Entity:
    """kind: one of the four above. name: unique within a split and seed. short: a form for later sentences."""

    kind: str
    name: str
    short: str
    pronoun: str


@dataclass(frozen=True, slots=True)
class Relation:
    """subject: the kind of entity that has it. value: the type of its value (values.py). changing: new values replace old
    ones over time. unit: of a count."""

    name: str
    subject: str
    value: str
    changing: bool = False
    unit: str = ""


RELATIONS: Mapping[str, Relation] = {
    relation.name: relation
    for relation in (
        Relation("birth", PERSON, "date"),
        Relation("birthplace", PERSON, "town"),
        Relation("profession", PERSON, "word"),
        Relation("mentor", PERSON, "person"),
        Relation("prize", PERSON, "prize"),
        Relation("author", WORK, "person"),
        Relation("published", WORK, "year"),
        Relation("length", WORK, "count", unit="pages"),
        Relation("setting", WORK, "town"),
        Relation("founder", ORGANISATION, "person"),
        Relation("founded", ORGANISATION, "year"),
        Relation("trade", ORGANISATION, "word"),
        Relation("river", TOWN, "river"),
        Relation("product", TOWN, "word"),
        Relation("bridges", TOWN, "count", unit="bridges"),
        Relation("residence", PERSON, "town", changing=True),
        Relation("director", ORGANISATION, "person", changing=True),
        Relation("seat", ORGANISATION, "town", changing=True),
        Relation("mayor", TOWN, "person", changing=True),
    )
}


def of(subject: str, changing: bool = False) -> tuple[str, ...]:
    """Names of the relations of a kind of entity, in the order of the table."""
    return tuple(name for name, item in RELATIONS.items() if item.subject == subject and item.changing == changing)
