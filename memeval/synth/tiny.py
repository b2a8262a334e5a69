"""A toy language of 261 words, in which a tiny model can learn what is worth writing down.

A stream is a few chunks of six lines `Name relation value`. Of the 15 relations, four are always asked about, one sometimes,
and ten never: so only the relation decides which lines a writer should keep. Training, validation and test have names and
values of their own. Questions ask for the latest value of a name and a relation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
LINES = 6
"""The number of lines of a chunk."""
RELATIONS = (
    "owns", "likes", "visits", "studies", "paints", "meets", "hears", "draws", "sells", "mends",
    "holds", "lifts", "sees", "trades", "counts",
)  # fmt: skip
ASKED, SOMETIMES = RELATIONS[:4], RELATIONS[4:5]
NOISE = RELATIONS[5:]
CHANCE = 0.15
"""The probability of a question about a line whose relation is in SOMETIMES."""
WORDS = 40
"""The number of names, and of values, of a split."""
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "wu", "za")


def words() -> list[str]:
    """The names and values of all splits, in the order of their token ids: for each split, 40 names and 40 values."""
    plain = [first + second for second in _SYLLABLES for first in _SYLLABLES][: 2 * len(SPLITS) * WORDS]
    return [word.capitalize() if number // WORDS % 2 == 0 else word for number, word in enumerate(plain)]


def vocabulary(split: Split) -> tuple[list[str], list[str]]:
    """(names, values) of a split; no other split has them."""
    first, known = 2 * WORDS * SPLITS.index(split), words()
    return known[first : first + WORDS], known[first + WORDS : first + 2 * WORDS]


@dataclass(frozen=True)
class Line:
    name: str
    relation: str
    value: str

    @property
    def text(self) -> str:
        return f"{self.name} {self.relation} {self.value}"


@dataclass(frozen=True)
class Stream:
    """chunks: of LINES lines each. questions: (name, relation) -> (number of the chunk, line) of the latest value."""

    chunks: tuple[tuple[Line, ...], ...]
    questions: dict[tuple[str, str], tuple[int, Line]]

    @property
    def texts(self) -> list[str]:
        return ["\n".join(line.text for line in chunk) for chunk in self.chunks]


def stream(rng: random.Random, split: Split, chunks: int, even: bool = False) -> Stream:
    """A random stream. even: draw relations evenly; otherwise each chunk has at least one line that is asked about."""
    names, values = vocabulary(split)
    made = []
    for _ in range(chunks):
        kinds: list[str] = []
        while not kinds or not (even or any(kind in ASKED for kind in kinds)):
            kinds = [rng.choice(RELATIONS) for _ in range(LINES)]
        made.append(tuple(Line(rng.choice(names), kind, rng.choice(values)) for kind in kinds))
    latest = {(line.name, line.relation): (at, line) for at, chunk in enumerate(made) for line in chunk}
    asked = {
        key: place for key, place in latest.items() if key[1] in ASKED or (key[1] in SOMETIMES and rng.random() < CHANCE)
    }
    return Stream(tuple(made), asked)


def streams(split: Split, number: int, chunks: int, seed: int = 0) -> Iterator[Stream]:
    """`number` streams of a split. Each has a random generator of its own, so a larger number begins with the same
    streams."""
    return (stream(random.Random(f"{split}/{seed}/{chunks}/{at}"), split, chunks) for at in range(number))
