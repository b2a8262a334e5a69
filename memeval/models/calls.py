"""Settings of the calls of one command, shared by runs and judges."""

from __future__ import annotations

from dataclasses import dataclass, field

from memeval.models.budget import Budget
from memeval.models.limits import Policy


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Settings that are part of no identity. concurrency: most calls in flight per endpoint. use_cache: read and fill
    the user's cache. budget: limits of the whole command."""

    concurrency: int = 16
    use_cache: bool = True
    policy: Policy = field(default_factory=Policy)
    budget: Budget | None = None
