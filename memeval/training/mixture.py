"""The streams that a training run by TRL reads, of one task or of several, and in which order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from memeval.errors import UsageError
from memeval.runs.prepare import PackedContext
from memeval.runs.spec import RunSpec
from memeval.trained import content_hash
from memeval.training.reading import packed, planned
from memeval.training.recipe import Recipe

Stream = tuple[RunSpec, PackedContext]
"""With the run that reads it."""


def streams(recipe: Recipe, tasks: str, key: str) -> list[Stream]:
    """The streams of `task[,task...]`. key: of the recipe, for messages. Raises UsageError for tasks that cannot be used,
    and where they have no questions."""
    runs = [planned(recipe, name) for name in filter(None, map(str.strip, tasks.split(",")))]
    found = [(run.spec, stream) for run in runs for stream in packed(run)]
    if not found:
        raise UsageError(f"{key}: '{tasks}' has no questions, and without them no reward; name a task that has")
    return found


def batch(streams: Sequence[Stream], number: int, size: int, seed: int) -> list[Stream]:
    """The streams of a step, from 0. Every epoch has an order of its own, and no stream is twice in a batch: what does not
    fill one is left for another epoch."""
    epoch, place = divmod(number, len(streams) // size)
    order = random.Random(f"streams/{seed}/{epoch}").sample(range(len(streams)), len(streams))
    return [streams[at] for at in order[place * size : (place + 1) * size]]


def by_run(streams: Sequence[Stream]) -> list[tuple[RunSpec, list[PackedContext]]]:
    """The streams of each run together."""
    runs: dict[int, tuple[RunSpec, list[PackedContext]]] = {}
    for spec, stream in streams:
        runs.setdefault(id(spec), (spec, []))[1].append(stream)
    return list(runs.values())


def trained_on(streams: Sequence[Stream]) -> list[dict[str, Any]]:
    """What a checkpoint says of the streams that it was trained on (trained.py)."""
    return [
        {
            "family": spec.task.family,
            "splits": [spec.task.split],
            "hashes": sorted({content_hash(question.text) for each in some for question in each.context.questions}),
        }
        for spec, some in by_run(streams)
    ]
