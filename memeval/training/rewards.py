"""From readings to training data: the reward of each row, its advantage in its group, and the rows to train on.

The reward of a row (Mem-alpha, arXiv 2509.25911, section 3.1.2):

    r = r1 + success * r2 + compression * r3 + validity * r4

r1  accuracy of a frozen reader on the final memory, the metric of the evaluation; one value per rollout
r2  share of the row's calls that succeeded (skipped and malformed calls did not); one value per row
r3  1 - memory / stream in tokens; one value per rollout, below 0 where the memory is larger than the stream
r4  share of the row's calls whose content a judge calls valid (verdicts.py): deletes, malformed calls and unreadable
    verdicts count 0; a call that failed is judged if its arguments are valid

For a row without calls, `empty_turn` sets r2 and r4. A reply that was cut off at its limit is trained with the reward of its
complete calls.

A group is all rollouts of one stream. With the baseline `rows`, mean and standard deviation (n - 1) are over all rows of all
rollouts of the group, as in the code of Mem-alpha (`compute_grpo_outcome_advantage` with one uid per instance). With
`rollouts`, they are over the rollouts' mean rewards, so that a long rollout weighs no more than a short one; they apply to
the reward of each row.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from memeval.errors import StopRun
from memeval.models.completion import Row
from memeval.training.recipe import Baseline, Grpo, Reward
from memeval.training.rollouts import Rollout, Turn

FLAT = 1e-4
"""If the rewards of a group differ by less, its advantages are 0."""
EPSILON = 1e-6
Verdicts = Mapping[tuple[str, str], bool]
"""(memory type, text) -> whether a judge calls this content valid"""


def compression(rollout: Rollout) -> float:
    """r3; 0 for an empty stream."""
    return 1 - rollout.memory / rollout.stream if rollout.stream else 0.0


def success(turn: Turn, empty: float = 0.0) -> float:
    """r2. empty: its value for a row without calls."""
    return turn.succeeded / turn.calls if turn.calls else empty


def validity(turn: Turn, verdicts: Verdicts, empty: float = 0.0) -> float:
    """r4. Calls without content (deletes, malformed ones) count in the denominator. empty: its value for a row without
    calls."""
    return sum(verdicts.get(content, False) for content in turn.contents) / turn.calls if turn.calls else empty


def rewards(rollout: Rollout, weights: Reward, verdicts: Verdicts | None = None) -> list[float | None]:
    """The reward of each row of a rollout; None for a row that is excluded. verdicts: needed where `validity` has a weight;
    without them r4 is left out."""
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


def advantages(
    group: Sequence[Sequence[float | None]], baseline: Baseline = "rows", scaled: bool = True
) -> list[list[float]]:
    """The advantage of each row. group: rewards by rollout and row; None for an excluded row, which gets advantage 0.
    scaled: divide by the standard deviation."""
    known = [[reward for reward in rollout if reward is not None] for rollout in group]
    values = [reward for rollout in known for reward in rollout]
    if not values or max(values) - min(values) < FLAT:
        return [[0.0] * len(rollout) for rollout in group]
    base = values if baseline == "rows" else [statistics.fmean(rollout) for rollout in known if rollout]
    mean = statistics.fmean(base)
    spread = (statistics.stdev(base) if len(base) > 1 else 1.0) + EPSILON if scaled else 1.0
    return [[0.0 if reward is None else (reward - mean) / spread for reward in rollout] for rollout in group]


def training_rows(
    readings: Sequence[Rollout], reward: Reward, grpo: Grpo, verdicts: Verdicts | None = None
) -> list[tuple[Row, float]]:
    """The rows with an advantage other than 0, each with its advantage, in the order of the readings and their chunks.
    verdicts: of a judge of contents, where r4 has a weight. Raises StopRun where the model records no rows."""
    groups: dict[tuple[str, str], list[Rollout]] = {}
    for reading in readings:
        groups.setdefault((reading.task, reading.context), []).append(reading)
    rows: list[tuple[Row, float]] = []
    for group in groups.values():
        found = [rewards(reading, reward, verdicts) for reading in group]
        if reward.zero:
            found = [[0.0 for _ in each] for each in found]
        for reading, values in zip(group, advantages(found, grpo.baseline, grpo.scaled), strict=True):
            for turn, value in zip(reading.turns, values, strict=True):
                if turn.row is None:
                    raise StopRun("the model of the role memory records no rows; it cannot be trained")
                if value:
                    rows.append((turn.row, value))
    return rows


def facts(readings: Sequence[Rollout], verdicts: Verdicts | None = None) -> dict[str, float]:
    """The mean of each part of the reward, and the share of replies that were cut off, for the log."""
    turns = [turn for reading in readings for turn in reading.turns]
    calls = sum(turn.calls for turn in turns)
    number = max(1, len(readings))
    found = {
        "accuracy": sum(reading.accuracy for reading in readings) / number,
        "success": sum(turn.succeeded for turn in turns) / max(1, calls),
        "compression": sum(compression(reading) for reading in readings) / number,
        "cut": sum(turn.cut for turn in turns) / max(1, len(turns)),
    }
    if verdicts is not None:
        found["validity"] = sum(validity(turn, verdicts) for turn in turns) / max(1, len(turns))
    return {key: round(value, 4) for key, value in found.items()}
