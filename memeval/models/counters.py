"""What the calls of one run come to: counted once, and told to the run's log call by call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from memeval.models.completion import Completion, Usage
from memeval.records.rows import CallRow


@dataclass
class Counters:
    """calls: logical calls, cached ones included. cached: those answered without sending anything (journal, cache, an
    identical call under way, or a prompt that does not fit the window). requests: attempts sent, retries included.
    failures: calls that ended with an error. tokens: of all calls; fresh: of those that were sent. first_call_at:
    `time.monotonic()` of the first call, or None.

    on_event is given one row per call.
    """

    on_event: Callable[[CallRow], None] | None = None
    calls: int = 0
    cached: int = 0
    requests: int = 0
    failures: int = 0
    tokens: Usage = field(default_factory=Usage)
    fresh: Usage = field(default_factory=Usage)
    first_call_at: float | None = None

    def begin(self) -> float:
        """The time at which a call begins."""
        begun = time.monotonic()
        if self.first_call_at is None:
            self.first_call_at = begun
        return begun

    def lost(self, attempts: int) -> None:
        """Attempts of a request that brought no completion at all."""
        self.requests += attempts

    def book(
        self,
        source: str,
        identity: str,
        completion: Completion,
        begun: float,
        attempts: int,
        fresh: Usage | None = None,
        run: str | None = None,
    ) -> None:
        """A call has ended. fresh: what was sent of its usage; None: all or nothing. run: whose journal it was."""
        self.calls += 1
        self.requests += attempts
        self.tokens += completion.usage
        if source == "model":
            self.fresh += completion.usage if fresh is None else fresh
        else:
            self.cached += 1
        if completion.error is not None:
            self.failures += 1
        if self.on_event is not None:
            self.on_event(
                CallRow(
                    at=round(time.time(), 3),
                    model=identity,
                    source=source,
                    seconds=round(time.monotonic() - begun, 6),
                    attempts=attempts,
                    status=completion.error or "ok",
                    finish_reason=completion.finish_reason,
                    prompt=completion.usage.prompt,
                    completion=completion.usage.completion,
                    run=run if source == "journal" else None,
                )
            )
