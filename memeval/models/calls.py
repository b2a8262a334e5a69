"""How the calls of one command are made: the settings that runs and judges share, and the gateway that they open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from memeval.models import registry
from memeval.models.budget import Budget
from memeval.models.gateway import Gateway, Opener
from memeval.models.limits import Policy
from memeval.models.store import Store, open_cache
from memeval.records.rows import CallRow


@dataclass(frozen=True, slots=True)
class CallSettings:
    """In no identity. concurrency: calls in flight at most, per endpoint. use_cache: read and fill the user's cache.
    budget: what the whole command may send."""

    concurrency: int = 16
    use_cache: bool = True
    policy: Policy = field(default_factory=Policy)
    budget: Budget | None = None


def open_gateway(
    settings: CallSettings,
    stores: Mapping[str, Path],
    on_call: Callable[[CallRow], None] | None = None,
    opener: Opener = registry.open_model,
) -> Gateway:
    """A gateway for the running event loop; its `close` closes all that was opened here. stores: phase -> file of its
    replies (several phases may have the same). on_call: given the row of each call that has ended."""
    files = {path: Store(path) for path in dict.fromkeys(stores.values())}
    cache = open_cache() if settings.use_cache else None
    return Gateway(
        {phase: files[path] for phase, path in stores.items()},
        cache,
        settings.concurrency,
        on_call,
        policy=settings.policy,
        opener=opener,
        budget=settings.budget,
        owned=(*files.values(), *([cache] if cache else ())),
    )
