"""How the calls of one command are made: the settings that runs and judges share."""

from __future__ import annotations

from dataclasses import dataclass, field

from memeval.models.budget import Budget
from memeval.models.limits import Policy


@dataclass(frozen=True, slots=True)
class CallSettings:
    """In no identity. concurrency: calls in flight at most, per endpoint. use_cache: read and fill the user's cache.
    budget: what the whole command may send."""

    concurrency: int = 16
    use_cache: bool = True
    policy: Policy = field(default_factory=Policy)
    budget: Budget | None = None
