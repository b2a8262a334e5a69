"""Count usage: the ledger that records every model call.

The engine opens a `Ledger` for each chunk and each question and sets it in `current`; a bound model records its calls
there. A context variable carries it through `await` and into worker threads, so questions that are answered
concurrently stay separate. A thread that an agent started carries no context variables: there the agent's number finds
the running method.
"""

from __future__ import annotations

import itertools
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
    """Calls and tokens by role in one phase (`ingest`, `recall`, `answer`), failures, and the recorded events.
    services: what the agent reports as spent elsewhere, by role. unusable: incomplete replies, by finish reason. facts:
    for the notes of the run. completions: (role, reply) of every call, in order, with its training row if the model
    records rows. place: of a step of reading: (context id, repeat, chunk id or method). read_back: a reply came from
    the store. stopped: the error of a call after which the whole run must stop. closed: its row has been written.
    answer: the number of the answer, if an agent gives several by itself and makes its calls for each."""

    phase: str
    calls: defaultdict[str, int] = field(default_factory=partial(defaultdict, int))
    tokens: defaultdict[str, Usage] = field(default_factory=partial(defaultdict, Usage))
    services: dict[str, ServiceRow] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    unusable: defaultdict[str, int] = field(default_factory=partial(defaultdict, int))
    facts: CallFacts = field(default_factory=CallFacts)
    events: list[Any] = field(default_factory=list)
    completions: list[tuple[str, Completion]] = field(default_factory=list)
    place: tuple[str, int, str] | None = None
    read_back: bool = False
    stopped: StopRun | None = None
    closed: bool = False
    answer: int = 0

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
        """Record a call of a service. A sum with an unknown part is unknown."""
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
    """A finished method of an agent, and its calls: a chunk's id, or the method's name (`begin`, `finish`). position:
    of its fork, None for the agent itself. completions: (role, reply) of every call, in order."""

    context_id: str
    repeat: int
    position: int | None
    name: str
    completions: tuple[tuple[str, Completion], ...]


current: ContextVar[Ledger] = ContextVar("memeval_ledger")
new_agent = itertools.count(1).__next__
"""The next number for the agent of one context and its forks."""
_running: dict[int, tuple[Ledger, ...]] = {}


@contextmanager
def booking(ledger: Ledger, agent: int = 0) -> Iterator[None]:
    """Record the calls of this block in `ledger`. agent: whose method runs in it, 0 for the harness's own calls. Raises
    StopRun at its end if one of the calls had to stop the run, even if the agent caught the exception."""
    current.set(ledger)
    _running[agent] = (*_running.get(agent, ()), ledger)
    try:
        yield
    finally:
        ledger.closed = True
        _running[agent] = tuple(other for other in _running[agent] if other is not ledger)
        if not _running[agent]:
            del _running[agent]
        if ledger.stopped is not None:
            raise ledger.stopped


def ledger_of(agent: int) -> Ledger:
    """The ledger of the caller's context. If there is none (a thread of the agent's own), or its method has returned,
    the ledger of the agent's only running method. Raises RuntimeError if it is unknown."""
    found, running = current.get(None), _running.get(agent, ())
    if found is not None and not found.closed:
        return found
    if agent and len(running) == 1:
        return running[0]
    if found is not None:
        return found
    raise RuntimeError(
        f"called from a thread of the agent's own while {len(running)} of its methods were running: cannot be booked; "
        "start it by pool.submit(contextvars.copy_context().run, function)"
    )
