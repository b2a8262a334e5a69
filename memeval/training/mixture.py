"""The streams that a training run reads, of one task or of several, and in which order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memeval.errors import UsageError
from memeval.runs.prepare import PackedContext
from memeval.runs.spec import RunSpec
from memeval.trained import content_hash
from memeval.training.reading import packed
from memeval.training.recipe import Recipe
from memeval.training.tiny import planned

Part = tuple[RunSpec, list[PackedContext]]


@dataclass(frozen=True)
class Mixture:
    """streams: each with the run that reads it. trained_on: what a checkpoint says of them (trained.py)."""

    streams: tuple[tuple[RunSpec, PackedContext], ...]
    trained_on: tuple[dict[str, object], ...]

    @classmethod
    def of(cls, recipe: Recipe, tasks: str, key: str) -> Mixture:
        """The streams of `task[,task...]`. key: of the recipe, for messages. Raises UsageError for tasks that cannot be
        used, and where they have no questions."""
        streams: list[tuple[RunSpec, PackedContext]] = []
        trained_on: list[dict[str, object]] = []
        for name in filter(None, (part.strip() for part in tasks.split(","))):
            found = planned(recipe, name, recipe.agent, recipe.params)
            contexts = packed(found.task, found.question_ids)
            streams += [(found.spec, stream) for stream in contexts]
            asked = {content_hash(question.text) for stream in contexts for question in stream.context.questions}
            card = found.task.card
            trained_on.append({"family": card.family, "splits": [card.split], "hashes": sorted(asked)})
        if not streams:
            raise UsageError(f"{key}: '{tasks}' has no questions, and without them no reward; name a task that has")
        return cls(tuple(streams), tuple(trained_on))

    def first(self, number: int) -> Mixture:
        """The first so many streams; 0: all."""
        return Mixture(self.streams[: number or None], self.trained_on)

    def batch(self, number: int, size: int, seed: int) -> list[tuple[RunSpec, PackedContext]]:
        """The streams of a step, from 0. Every epoch has an order of its own, and no stream is twice in a batch: what does
        not fill one is left for another epoch."""
        epoch, place = divmod(number, len(self.streams) // size)
        order = random.Random(f"streams/{seed}/{epoch}").sample(range(len(self.streams)), len(self.streams))
        return [self.streams[at] for at in order[place * size : (place + 1) * size]]


def by_run(streams: Sequence[tuple[RunSpec, PackedContext]]) -> Iterator[Part]:
    """The streams of each run together."""
    runs: dict[int, Part] = {}
    for spec, stream in streams:
        runs.setdefault(id(spec), (spec, []))[1].append(stream)
    yield from runs.values()
