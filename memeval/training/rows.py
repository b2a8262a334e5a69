"""The rows of a batch with their advantages: what either trainer learns from."""

from __future__ import annotations

from collections.abc import Sequence

from memeval.errors import StopRun
from memeval.models.completion import Row
from memeval.training import advantages, rewards
from memeval.training.recipe import Grpo, Reward
from memeval.training.rollouts import Rollout


class TrainingFailed(StopRun):
    """Training cannot go on; the message is one line, and the last whole state is in the folder."""


def weighed(
    readings: Sequence[Rollout], reward: Reward, grpo: Grpo, verdicts: rewards.Verdicts | None = None
) -> list[tuple[Row, float]]:
    """The rows that teach something, in order of context, repeat and chunk; a row of advantage 0 is left out. verdicts: of
    a judge of contents (verdicts.py), where r4 has a weight. Raises TrainingFailed where the model records no rows."""
    groups: dict[str, list[Rollout]] = {}
    for reading in readings:
        groups.setdefault(reading.context, []).append(reading)
    rows: list[tuple[Row, float]] = []
    for group in groups.values():
        found = [rewards.rewards(reading, reward.weights, verdicts) for reading in group]
        if reward.zero:
            found = [[0.0 for _ in each] for each in found]
        for reading, values in zip(group, advantages.advantages(found, grpo.baseline, grpo.scaled), strict=True):
            for turn, value in zip(reading.turns, values, strict=True):
                if turn.row is None:
                    raise TrainingFailed("the model of the role memory records no rows; it cannot be trained")
                if value:
                    rows.append((turn.row, value))
    return rows
