"""From the rewards of a group (all rollouts of one stream) to advantages, as GRPO has them.

Baseline over rows: mean and standard deviation (n - 1) over all rows of all rollouts of the group, as the code of Mem-alpha
has it (`compute_grpo_outcome_advantage` with one uid per instance). Over rollouts: of the rollouts' mean rewards, so that a
long rollout weighs no more than a short one; each row keeps the distance of its own reward.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

FLAT = 1e-4
"""A group whose rewards differ by less teaches nothing: its advantages are 0."""
EPSILON = 1e-6
Baseline = Literal["rows", "rollouts"]


def advantages(
    group: Sequence[Sequence[float | None]], baseline: Baseline = "rows", scaled: bool = True
) -> list[list[float]]:
    """The advantage of each row. group: rewards by rollout and row; None: a row that takes no part, advantage 0. scaled:
    divide by the standard deviation."""
    known = [[reward for reward in rollout if reward is not None] for rollout in group]
    values = [reward for rollout in known for reward in rollout]
    if not values or max(values) - min(values) < FLAT:
        return [[0.0] * len(rollout) for rollout in group]
    base = values if baseline == "rows" else [statistics.fmean(rollout) for rollout in known if rollout]
    mean = statistics.fmean(base)
    spread = (statistics.stdev(base) if len(base) > 1 else 1.0) + EPSILON if scaled else 1.0
    return [[0.0 if reward is None else (reward - mean) / spread for reward in rollout] for rollout in group]
