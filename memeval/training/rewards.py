"""The reward of a row (Mem-alpha, arXiv 2509.25911, section 3.1.2):

    r = r1 + success * r2 + compression * r3 + validity * r4

r1  accuracy of a frozen reader on the final memory, the metric of the evaluation; one value per rollout
r2  share of the row's calls that succeeded (skipped and malformed calls did not); one value per row
r3  1 - memory / stream in tokens; one value per rollout, below 0 where the memory is larger than the stream
r4  share of the row's calls whose content a judge calls valid (verdicts.py): deletes, malformed calls and unreadable
    verdicts count 0; a call that failed is judged where its arguments are in order

A row without calls has no r2 and r4 of its own: `empty_turn` says what they are. A reply that was cut off at its limit is
trained with what its whole calls earned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from memeval.training.rollouts import Rollout, Turn

EmptyTurn = Literal["zero", "one", "exclude"]
Verdicts = Mapping[tuple[str, str], bool]
"""(memory type, text) -> whether a judge calls this content valid."""


@dataclass(frozen=True, slots=True)
class Weights:
    """success, compression, validity: see the module; the paper's are 1, 0.05 and 0.1. empty_turn: r2 and r4 of a row
    without calls: 0 as published, 1, or `exclude`: the row takes no part in the group's mean and is not trained."""

    success: float = 1.0
    compression: float = 0.05
    validity: float = 0.1
    empty_turn: EmptyTurn = "zero"


def compression(rollout: Rollout) -> float:
    """r3. An empty stream compresses to nothing: 0."""
    return 1 - rollout.memory / rollout.stream if rollout.stream else 0.0


def success(turn: Turn, empty: float = 0.0) -> float:
    """r2."""
    return turn.succeeded / turn.calls if turn.calls else empty


def validity(turn: Turn, verdicts: Verdicts, empty: float = 0.0) -> float:
    """r4. Calls without content (deletes, malformed ones) are in the denominator."""
    return sum(verdicts.get(content, False) for content in turn.contents) / turn.calls if turn.calls else empty


def rewards(rollout: Rollout, weights: Weights, verdicts: Verdicts | None = None) -> list[float | None]:
    """The reward of each row of a rollout; None of a row that is left out. verdicts: needed where `validity` has a weight;
    without them r4 is left out, as with a weight of 0."""
    empty = 1.0 if weights.empty_turn == "one" else 0.0
    shared = rollout.accuracy + weights.compression * compression(rollout)
    found: list[float | None] = []
    for turn in rollout.turns:
        if not turn.calls and weights.empty_turn == "exclude":
            found.append(None)
            continue
        own = weights.success * success(turn, empty)
        if verdicts is not None:
            own += weights.validity * validity(turn, verdicts, empty)
        found.append(shared + own)
    return found
