"""The documents of a circle: short wiki-like articles that state facts among sentences without facts.

Every entity has two articles; each of its facts is in one of them, and a person's second article may repeat which book the
person wrote or which firm the person founded. An article of its own reports each new value of a relation that changes, dated
in the month of the change. All dates in an article are before its own.
"""

from __future__ import annotations

import collections
import datetime
import functools
import random
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from memeval.synth.language import Language
from memeval.synth.relations import PERSON, Entity
from memeval.synth.values import MONTHS
from memeval.synth.world import FIRST_CHANGE, Circle, Fact, Key

EARLY = (datetime.date(2031, 1, 1), datetime.date(2032, 12, 31))
"""The dates of the first articles about a circle's early entities; every other article is later."""

LATER = (datetime.date(2033, 1, 1), datetime.date(2049, 12, 31))

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SEASONS = ("spring", "summer", "autumn", "winter")
_FIRST_NOISE_YEAR = 2030  # after all births, books and firms, so that nothing happens to an entity before it exists


@dataclass(frozen=True, slots=True)
class Sentence:
    """states: the (entity, relation) pairs whose value the sentence states."""

    text: str
    states: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """An article. time: ISO date. entity: the name of its subject. Titles are unique within a split and seed."""

    title: str
    sentences: tuple[Sentence, ...]
    time: str
    entity: str

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)


def write(
    circle: Circle,
    language: Language,
    rng: random.Random,
    withheld: Collection[Key] = (),
    asked: Collection[Key] = (),
    single: Collection[Key] = (),
) -> list[Document]:
    """Write all articles of a circle. withheld: facts that no article may state. asked: facts whose sentences name the
    subject in full. single: facts that no second article repeats."""
    noise = {
        name: collections.deque(_shuffled(language.prose.noise[entity.kind], rng))
        for name, entity in circle.entities.items()
    }
    writer = _Writer(circle, frozenset(asked), language, rng, noise)
    facts = {key: history for key, history in circle.facts.items() if key not in withheld}
    documents = []
    for entity in circle.entities.values():
        histories = [history for key, history in facts.items() if key[0] == entity.name]
        first = [history[0] for history in histories if history[0].key not in circle.second]
        second = [history[0] for history in histories if history[0].key in circle.second]
        changes = [fact for history in histories for fact in history[1:]]
        repeated = [
            history[0]
            for key, history in facts.items()
            if key[1] in ("author", "founder") and key not in single and history[0].value.text == entity.name
        ]
        if entity.name in circle.early:
            dates = EARLY
        elif any(history[0].since for history in histories):
            dates = (LATER[0], datetime.date(FIRST_CHANGE - 1, 12, 31))
        else:
            dates = LATER
        documents.append(writer.article(entity, entity.name, first, _date(rng, *dates)))
        title = rng.choice(language.prose.titles[entity.kind]).format(x=entity.name)
        documents.append(writer.article(entity, title, [*second, *repeated[: rng.randint(0, 2)]], _date(rng, *LATER)))
        before = {fact.key: fact for fact in first}
        for fact in changes:
            documents.append(writer.news(entity, fact, before[fact.key]))
            before[fact.key] = fact
    return documents


@dataclass(frozen=True, slots=True)
class _Writer:
    circle: Circle
    asked: frozenset[Key]
    language: Language
    rng: random.Random
    noise: Mapping[str, collections.deque[str]]

    def article(self, entity: Entity, title: str, facts: Sequence[Fact], date: datetime.date) -> Document:
        statements = [(self.rng.choice(self.language.phrases[fact.relation].statements), fact) for fact in facts]
        opening = self.rng.choice(self.language.prose.openings[entity.kind])
        return self._document(entity, title, opening, statements, date)

    def news(self, entity: Entity, fact: Fact, before: Fact) -> Document:
        assert fact.since is not None
        date = fact.since.replace(day=self.rng.randint(3, 28))
        template = self.rng.choice(self.language.phrases[fact.relation].changes).replace("{old}", before.value.text)
        title = self.rng.choice(self.language.prose.news_titles).format(x=entity.name, month=_month(date))
        opening = self.rng.choice(self.language.prose.bulletins)
        return self._document(entity, title, opening, [(template, fact)], date)

    def _document(
        self, entity: Entity, title: str, opening: str, statements: list[tuple[str, Fact]], date: datetime.date
    ) -> Document:
        """An article: the opening, then statements and noise in random order, six to eight sentences in total."""
        wanted = max(1, self.rng.choice((6, 7, 7, 8, 8)) - 1 - len(statements))
        aside = self.rng.randint(0, wanted - 1) if wanted > 1 else 0
        noise = self.noise[entity.name]
        templates = self.rng.sample(self.language.prose.asides, aside)
        tails = _shuffled(self.language.prose.tails, self.rng)
        templates += [self._with_tail(noise[place], tails) for place in range(wanted - aside)]
        noise.rotate(aside - wanted)  # an entity's articles use its noise in turn
        body: list[tuple[str, Fact | None]] = [*statements, *((template, None) for template in templates)]
        self.rng.shuffle(body)
        others = [name for name, item in self.circle.entities.items() if item.kind == PERSON and name != entity.name]
        sentences = [Sentence(opening.format(x=entity.name, month=_month(date)))]
        clear = True  # whether a pronoun is unambiguous: the sentence before names no other person
        for template, fact in body:
            if fact is None:
                text = self._named(template, entity, clear).format(**self._slots(template, date, others))
                clear = "{x}" in template and "{other}" not in template
                sentences.append(Sentence(text))
            else:
                own = fact.entity == entity and fact.key not in self.asked
                text = self._named(template, entity, clear) if own else template.replace("{x}", fact.entity.name)
                clear = fact.value.type != PERSON and fact.entity == entity
                sentences.append(Sentence(text.format(**_values(template, fact, self.rng)), (fact.key,)))
        return Document(title, tuple(sentences), date.isoformat(), entity.name)

    def _with_tail(self, template: str, tails: list[str]) -> str:
        """A sentence of noise, usually with a tail that the document has not used yet and that shares no slot with it."""
        if self.rng.random() < 0.15:
            return template
        slots = _slot_names(template)
        tail = next(tail for tail in tails if not any(slot in slots for slot in _slot_names(tail)))
        tails.remove(tail)
        return f"{template[:-1]}{tail}."

    def _named(self, template: str, entity: Entity, clear: bool) -> str:
        """The template with its subject filled in: usually the full name, else a surname, a common noun or a pronoun."""
        draw = self.rng.random()
        if template.startswith("{x} ") and draw < 0.35:
            return (entity.pronoun if clear and draw < 0.2 else entity.short) + template[3:]
        if entity.kind == PERSON and draw > 0.6:
            return template.replace("{x}", entity.short)
        return template.replace("{x}", entity.name)

    def _slots(self, template: str, date: datetime.date, others: Sequence[str]) -> dict[str, str]:
        rng, slots = self.rng, {}
        for slot in _slot_names(template):
            if slot == "n":
                slots[slot] = str(rng.randint(21, 98))
            elif slot == "year":
                slots[slot] = str(rng.randint(_FIRST_NOISE_YEAR, date.year - 1))
            elif slot != "x":
                choices = {
                    "weekday": _WEEKDAYS,
                    "season": _SEASONS,
                    "object": self.language.lexicon.objects,
                    "other": others,
                }[slot]
                slots[slot] = rng.choice(choices)
        return slots


def _values(template: str, fact: Fact, rng: random.Random) -> dict[str, str]:
    slots = {"v": fact.value.written(rng)}
    if "{av}" in template:
        slots["av"] = fact.value.with_article()
    if fact.since is not None:
        slots["since"], slots["date"] = str(fact.since.year), _month(fact.since)
    return slots


def _shuffled(items: Sequence[str], rng: random.Random) -> list[str]:
    return rng.sample(items, len(items))


@functools.cache
def _slot_names(template: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in string.Formatter().parse(template) if name)


def _month(date: datetime.date) -> str:
    return f"{MONTHS[date.month - 1]} {date.year}"


def _date(rng: random.Random, first: datetime.date, last: datetime.date) -> datetime.date:
    return datetime.date.fromordinal(rng.randint(first.toordinal(), last.toordinal()))
