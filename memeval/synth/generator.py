"""The generator: questions and documents by split, seed and index.

Question i belongs to circle i // 8 and has kind KINDS[i % 8]; it is a pure function of (split, seed, i), the same in every
process. The pool has the documents of the circles of world 0; questions beyond them come from further circles.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

from memeval.synth import documents, questions, world
from memeval.synth.documents import Document
from memeval.synth.language import language
from memeval.synth.names import Names
from memeval.synth.questions import KINDS, Item


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The documents of a circle, and one question of every kind in the order of KINDS."""

    documents: tuple[Document, ...]
    items: tuple[Item, ...]


@functools.lru_cache(maxsize=4)
def _names(split: str, seed: int) -> Names:
    return Names(split, seed)


def neighbourhood(split: str, seed: int, index: int) -> Neighbourhood:
    """The documents and questions of the index-th circle of a split (one of language.SPLITS) and world seed."""
    names, spoken = _names(split, seed), language(split)
    circle = world.circle(names, index, spoken.prose.nouns)
    rng = random.Random(f"text/{split}/{seed}/{index}")
    asks = {ask.kind: ask for ask in questions.plan(circle, names, spoken, rng)}
    written = documents.write(
        circle,
        spoken,
        rng,
        withheld=asks["unanswerable"].keys,
        asked=[key for ask in asks.values() for key in ask.keys],
        single=asks["two-hop"].keys,
    )
    items = questions.phrase([asks[kind] for kind in KINDS], circle, written, spoken, rng)
    return Neighbourhood(tuple(written), tuple(items))
