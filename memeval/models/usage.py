"""Who pays: the ledger that every model call is booked in.

The engine opens a `Ledger` for each chunk and each question and sets it in `current`; a bound model books into it. A
context variable carries it through `await` and into worker threads, so questions answered concurrently stay apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from memeval.errors import StopRun
from memeval.models.completion import Completion, Usage
from memeval.records.rows import CallFacts, ServiceRow, Spent
from memeval.records.verdicts import UNUSABLE


@dataclass
class Ledger:
    """Calls and tokens by role in one phase (`ingest`, `recall`, `answer`), what failed, and the recorded events.
    services: what the agent says it spent elsewhere, by role. unusable: replies that are not whole, by finish reason. facts:
    what the notes of the run must know of the calls. completions: (role, reply) of every call, in order, with its training
    row where the model records rows. stopped: the error of a call after which the whole run must stop."""

    phase: str
    calls: defaultdict[str, int] = field(default_factory=partial(defaultdict, int))
    tokens: defaultdict[str, Usage] = field(default_factory=partial(defaultdict, Usage))
    services: dict[str, ServiceRow] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    unusable: defaultdict[str, int] = field(default_factory=partial(defaultdict, int))
    facts: CallFacts = field(default_factory=CallFacts)
    events: list[Any] = field(default_factory=list)
    completions: list[tuple[str, Completion]] = field(default_factory=list)
    stopped: StopRun | None = None

    def book(self, role: str, completion: Completion, facts: CallFacts) -> None:
        self.calls[role] += 1
        self.facts += facts
        self.tokens[role] = self.tokens[role] + completion.usage
        self.completions.append((role, completion))
        if completion.finish_reason in UNUSABLE:
            self.unusable[completion.finish_reason] += 1
        if completion.error:
            self.failures.append(f"{role}: {completion.error}")

    def spend(self, tokens: int, usd: float | None, role: str) -> None:
        """Book a call of a service. A sum of which a part is unknown is unknown."""
        before = self.services.get(role, ServiceRow())
        total = None if usd is None or before.usd is None else before.usd + usd
        self.services[role] = ServiceRow(calls=before.calls + 1, tokens=before.tokens + tokens, usd=total)

    @property
    def last(self) -> Completion | None:
        """The reply to the last call."""
        return self.completions[-1][1] if self.completions else None

    def spent(self) -> Spent:
        return Spent(
            calls=dict(sorted(self.calls.items())),
            tokens=dict(sorted(self.tokens.items())),
            services=dict(sorted(self.services.items())),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One method of an agent that has ended, and what it called: a chunk's id, or the method's name (`begin`, `finish`).
    position: of the fork that it belongs to, None for the agent itself. completions: (role, reply) of every call, in order.
    """

    context_id: str
    repeat: int
    position: int | None
    name: str
    completions: tuple[tuple[str, Completion], ...]


current: ContextVar[Ledger] = ContextVar("memeval_ledger")


@contextmanager
def booking(ledger: Ledger) -> Iterator[None]:
    """Book the calls of this block in `ledger`. Raises StopRun at its end when one of them had to stop the run, whatever an
    agent that catches exceptions made of it."""
    current.set(ledger)
    try:
        yield
    finally:
        if ledger.stopped is not None:
            raise ledger.stopped
