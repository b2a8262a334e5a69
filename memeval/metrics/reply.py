"""The input of a metric: one reply to one question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from memeval.agent import Item
from memeval.metrics.held import Piece, ranks
from memeval.task import Question


@dataclass(frozen=True)
class Reply:
    """A prediction (thinking already removed) and what it is scored against.

    recalled: what the reader saw, with the chunks it came from; None for an agent that shows no recall. evidence: the gold
    evidence, with the chunks that contain it. native: the agent answered by itself. keyword_separator: what separates the
    keywords of a gold, if the task's card sets it.
    """

    prediction: str
    question: Question
    recalled: tuple[Item, ...] | None = None
    evidence: tuple[Piece, ...] = ()
    native: bool = False
    keyword_separator: str = ""

    @cached_property
    def ranks(self) -> tuple[tuple[Piece, int | None], ...]:
        """(piece, place of the first recalled item that holds it) for each piece of the evidence that is in a chunk
        (`held.ranks`); empty where no recall is shown."""
        pieces = [piece for piece in self.evidence if piece.chunks]
        found = [] if self.recalled is None else ranks(self.question, pieces, self.recalled)
        return tuple(zip(pieces, found, strict=self.recalled is not None))


Metric = Callable[[Reply], float | None]
"""A score from 0 to 1, or None where the metric does not apply to the question."""


def best(reply: Reply, rule: Callable[[str, str], float]) -> float | None:
    """The maximum of `rule(prediction, gold)` over the golds. None for an unanswerable question or one without golds,
    because the headline covers answerable questions only (validity section 2)."""
    if not reply.question.answerable or not reply.question.answers:
        return None
    return max(rule(reply.prediction, gold) for gold in reply.question.answers)
