"""The first half of a training step, the same for both trainers (loop.py, trl_run.py): streams are read with the current
model, and each row gets its advantage. In the second half, each trainer makes optimiser steps from these rows.

    reading.py    streams -> readings (rollouts.py), by the engine; the model under training is policy.py
    verdicts.py   readings -> a judge's verdicts on the contents, where the reward has a weight for them
    rewards.py    readings -> the reward of each row -> its advantage in its group
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memeval.models.completion import Row
from memeval.training.policy import Policy
from memeval.training.reading import Stream, read
from memeval.training.recipe import Recipe
from memeval.training.rewards import Verdicts, facts, training_rows
from memeval.training.rollouts import Rollout
from memeval.training.verdicts import ContentJudge


@dataclass(frozen=True, slots=True)
class StepRows:
    """The rows of a step with their advantages. readings, verdicts: from which they were computed."""

    rows: list[tuple[Row, float]]
    readings: list[Rollout]
    verdicts: Verdicts | None

    @property
    def tokens(self) -> int:
        """The number of tokens of the rows, including prompts."""
        return sum(len(row.prompt_ids) + len(row.completion_ids) for row, _ in self.rows)

    @property
    def facts(self) -> dict[str, float]:
        """The parts of the reward, for the log."""
        return facts(self.readings, self.verdicts)


def step_rows(
    streams: Sequence[Stream], policy: Policy, number: int, recipe: Recipe, judge: ContentJudge | None
) -> StepRows:
    """Read these streams `grpo.group` times each, in step `number` (from 0). Raises StopRun where a reading or its judge
    failed."""
    readings = read(streams, policy, f"step {number}", recipe.grpo.group)
    verdicts = judge(readings) if judge is not None else None
    return StepRows(training_rows(readings, recipe.reward, recipe.grpo, verdicts), readings, verdicts)
