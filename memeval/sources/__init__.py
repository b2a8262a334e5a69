"""Where tasks come from: one module per data set family, from upstream files or hub rows to `Context` objects.

A source is a class with one method, `load(card, settings) -> Task`; the `Task` answers what is asked, in which order, and
builds one context at a time, so that a run over 1M-token streams never holds them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from memeval.task import Context, ContextRef, Question

if TYPE_CHECKING:
    from memeval.cards import TaskCard


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user sets for data: where they lie (None: the hub), the seed (42) of question order, distractors and packing,
    and how many questions will be asked (0: the card's number, or all), for sources that make theirs."""

    data_dir: Path | None = None
    seed: int = 42
    questions: int = 0


class Task(Protocol):
    """A loaded task.

    card: as resolved. data: facts for the manifest (every file that was read, with its sha256; hub revision, corpus hash,
    pool sizes); its digest is part of the run's identity. order: question ids in the seeded order, of which a run asks a
    prefix.
    """

    card: TaskCard
    data: Mapping[str, Any]
    order: Sequence[str]

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        """The contexts that hold these questions, each once, in order; a larger prefix only adds to it."""
        ...

    def context(self, ref: ContextRef) -> Context:
        """Build one context, deterministically. Holds all its questions, also those the ref does not ask."""
        ...

    def golds(self) -> Sequence[Question]:
        """Questions with their golds but without evidence, in seeded order, without building a stream."""
        ...


class Source(Protocol):
    def load(self, card: TaskCard, settings: Settings) -> Task:
        """Read what the card names. Raises NoData with the remedy when it is not at hand, UsageError when it is damaged."""
        ...
