"""Names of entities, computed from an index: one to one within a split and world seed.

No names are stored, and they never run out: when all combinations of a type are used, a further part is added.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import TypeVar

from memeval.synth.language import endings, language
from memeval.synth.relations import PERSON, Entity

_Left = TypeVar("_Left")
_Right = TypeVar("_Right")


class Names:
    """The names of one split and seed. The seed shuffles the parts of names, so two seeds combine them differently."""

    def __init__(self, split: str, seed: int) -> None:
        self.split, self.seed = split, seed
        words = self._words = language(split).lexicon
        rng = random.Random(f"names/{split}/{seed}")

        def coin(*kinds: str) -> list[str]:
            """All words of a first syllable followed by an ending of each kind."""
            return [first + "".join(last) for first in words.syllables for last in itertools.product(*map(endings, kinds))]

        self._given = [(name, "She") for name in coin("female")] + [(name, "He") for name in coin("male")]
        self._surnames = coin("surname")
        self._towns = coin("town_middle", "town")
        self._coined = coin("organisation")
        self._rivers = coin("river")
        self._prizes = [f"{first} {noun}" for first in coin("prize") for noun in words.prize_nouns]
        self._books = coin("book")
        rng.shuffle(self._given)
        for parts in (self._surnames, self._towns, self._coined, self._rivers, self._prizes, self._books):
            rng.shuffle(parts)

    def person(self, index: int) -> Entity:
        (given, pronoun), surname, lap = _pair(index, self._given, self._surnames, step=7)
        surname = "-".join([surname, *_further(lap, self._surnames)])
        return Entity(PERSON, f"{given} {surname}", surname, pronoun)

    def town(self, index: int) -> str:
        lap, place = divmod(index, len(self._towns))
        return "-".join([self._towns[place], *_further(lap, self._towns)])

    def organisation(self, index: int) -> str:
        first, noun, lap = _pair(index, self._coined, self._words.organisation_nouns, step=1)
        return "-".join([first, *_further(lap, self._coined)]) + f" {noun}"

    def book(self, index: int) -> str:
        """A title of English words, `The Silent Harbour`; a coined place is added when all pairs are used."""
        adjective, noun, lap = _pair(index, self._words.title_adjectives, self._words.title_nouns, step=5)
        origin = "-".join(_further(lap, self._books))
        return f"The {adjective} {noun} of {origin}" if origin else f"The {adjective} {noun}"

    def river(self, rng: random.Random) -> str:
        """A random river. Rivers and prizes are values, not subjects: several towns may be on one river."""
        return rng.choice(self._rivers)

    def prize(self, rng: random.Random) -> str:
        return rng.choice(self._prizes)


def _pair(index: int, left: Sequence[_Left], right: Sequence[_Right], step: int) -> tuple[_Left, _Right, int]:
    """(left, right, lap) of the index-th pair; lap: how often all pairs were used before. Neighbours share neither part."""
    rest, first = divmod(index, len(left))
    lap, second = divmod(rest, len(right))
    return left[first], right[(second + first * step) % len(right)], lap


def _further(lap: int, parts: Sequence[str]) -> list[str]:
    """The further parts of a name that distinguish laps 1, 2, 3 ...; none for lap 0 (bijective numeration)."""
    found = []
    while lap > 0:
        lap, digit = divmod(lap - 1, len(parts))
        found.append(parts[digit])
    return found
