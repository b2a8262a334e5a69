"""The bundled task: questions about a fictional world, with typed evidence, without data files or network.

More worlds only add questions; for every length, the pool of distractors is world 0 of the split.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from memeval.cards import TaskCard
from memeval.data.records import folder
from memeval.digests import digest
from memeval.synth import generator
from memeval.synth.documents import EARLY, Document
from memeval.synth.generator import Neighbourhood
from memeval.synth.questions import KINDS, Item
from memeval.synth.world import WORLD
from memeval.task import Question
from memeval.tasks.base import Settings, hash64, params
from memeval.tasks.pool import Passage, Pool
from memeval.tasks.streams import Example, PackedTask
from memeval.typed import Count, Positive

PER_WORLD = WORLD * len(KINDS)
"""The number of questions in a world."""

_BLOCK = 2 * len(KINDS)  # two circles: every kind twice, and a yes and a no for yes/no questions


class Synth:
    """The source of cards that say `source: synth`."""

    class Params(msgspec.Struct):
        """split: splits share no entity and no question template. world_seed: selects the world. worlds: how many worlds the
        task has (1440 questions each); more if `questions` or `--limit` needs them."""

        split: Literal["train", "validation", "test"] = "test"
        world_seed: Count = 1
        worlds: Positive = 1

    def load(self, card: TaskCard, settings: Settings) -> PackedTask:
        """Generate the world of the card. The task's data facts have digests of the questions and documents of world 0.
        Raises UsageError for params that are unknown or out of range."""
        given = params(card, self.Params)
        split, seed = given.split, given.world_seed
        worlds = max(given.worlds, -(-max(card.questions, settings.questions) // PER_WORLD))
        pool = _pool(split, seed)
        early = _early(split, seed)
        examples = []
        for index in range(worlds * WORLD):
            built = world_zero(split, seed)[index] if index < WORLD else generator.neighbourhood(split, seed, index)
            for place, item in enumerate(built.items):
                name = f"synth-{split}-{seed}-{index * len(KINDS) + place:06d}"
                examples.append(_example(name, item, early))
        asked = [(example.question.text, *example.question.answers) for example in examples[:PER_WORLD]]
        data = {"split": split, "world_seed": seed, "asked": digest(asked), "pool": pool.size, "corpus": pool.digest}
        order = _rotation([example.question.id for example in examples], settings.seed)
        return PackedTask(card, settings, examples, lambda: pool, data, order)


def _rotation(ids: Sequence[str], seed: int) -> tuple[str, ...]:
    """Order the questions by rotating through the kinds, so that every prefix is balanced.

    The seed shuffles blocks of sixteen questions (two circles) within a world; worlds follow each other, so that a task
    with more worlds begins with the same questions.
    """

    def rank(name: str) -> tuple[int, int, int]:
        place = int(name.rpartition("-")[2])
        return place // PER_WORLD, hash64("order", seed, f"block {place // _BLOCK}"), place

    return tuple(sorted(ids, key=rank))


def _passage(document: Document) -> Passage:
    return Passage(document.title, document.text, document.time)


@functools.lru_cache(maxsize=2)
def world_zero(split: str, seed: int) -> tuple[Neighbourhood, ...]:
    """The circles whose documents are the pool (about 7,500). Generating them takes most of a second, so they are stored in
    the user's cache, under a digest of the generator's source."""
    package = Path(generator.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*package.glob("*.py"), *(package.parent / "_data" / "synth").glob("*.yaml")]):
        digest.update(path.read_bytes())
    kept = folder() / f"synth-{split}-{seed}-{digest.hexdigest()[:16]}.jsonl"
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(kept.read_bytes(), type=tuple[Neighbourhood, ...])
    made = tuple(generator.neighbourhood(split, seed, index) for index in range(WORLD))
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        own = kept.with_name(f"{kept.name}.{os.getpid()}")
        own.write_bytes(msgspec.json.encode(made))
        own.replace(kept)
    return made


@functools.lru_cache(maxsize=2)
def _pool(split: str, seed: int) -> Pool:
    """The pool of world 0, the same for every length and question."""
    return Pool(_passage(document) for built in world_zero(split, seed) for document in built.documents)


@functools.lru_cache(maxsize=2)
def _early(split: str, seed: int) -> tuple[tuple[str, str], ...]:
    """(time, title) of the pool's documents from the early years, in order of time."""
    last = EARLY[1].isoformat()
    documents = (item for built in world_zero(split, seed) for item in built.documents)
    return tuple(sorted((item.time, item.title) for item in documents if item.time <= last))


def _example(name: str, item: Item, early: Sequence[tuple[str, str]]) -> Example:
    """An item as an example. A long-gap question excludes all other documents that are as old as its evidence, so that only
    its own documents come before the evidence."""
    exclude = item.exclude
    if item.kind == "long-gap":
        latest = max(item.own[index].time for index, _ in item.evidence)
        exclude |= {title for time, title in early if time <= latest} - {document.title for document in item.own}
    question = Question(name, item.text, item.answers, kind=item.kind, answerable=item.answerable)
    own = tuple(_passage(document) for document in item.own)
    return Example(question, own, item.evidence, exclude, hygiene=item.clues)
