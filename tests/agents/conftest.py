"""Sessions with a scripted model, for the tests of the built-in agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from memeval.agent import Session, ToolResult
from memeval.models import bound, usage
from memeval.models.completion import Completion, Request
from memeval.models.usage import Ledger


@dataclass
class Bench:
    """One agent's surroundings. reply: what the model says to a request. requests, events: what came of it."""

    reply: Callable[[Request], Completion] = lambda request: Completion("Done")
    requests: list[Request] = field(default_factory=list)
    events: list[ToolResult] = field(default_factory=list)
    ledger: Ledger = field(default_factory=lambda: Ledger("ingest"))
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    routes: list[int] = field(default_factory=list)

    def session(self, budget: int = 30_000, model: str = "scripted", seed: int = 11) -> Session:
        """A session that counts words as tokens."""

        async def call(request: Request) -> Completion:
            self.requests.append(request)
            return self.reply(request)

        route = bound.open_route(call, self.loop)
        self.routes.append(route)
        return Session(
            models={"memory": bound.BoundModel(model, "memory", route)},
            seed=seed,
            scratch=Path("nowhere"),
            budget=budget,
            count=lambda text: len(text.split()),
            record=self.events.append,
        )

    def run(self, coroutine):
        usage.current.set(self.ledger)
        return self.loop.run_until_complete(coroutine)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for route in made.routes:
        bound.close_route(route)
    made.loop.close()
