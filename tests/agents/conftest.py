"""Sessions with a scripted model, for the tests of the built-in agents."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from memeval.agent import Session, ToolResult
from memeval.models import bound, usage
from memeval.models.completion import Completion, Request
from memeval.models.embeddings import pack, texts_of
from memeval.models.usage import Ledger


@dataclass
class Bench:
    """The fakes around one agent. reply: the model's answer to a request. vector: the embedding of a text. requests,
    embedded, events: the record of what the agent did."""

    reply: Callable[[Request], Completion] = lambda request: Completion("Done")
    vector: Callable[[str], Sequence[float]] = lambda text: (1.0, 0.0)
    requests: list[Request] = field(default_factory=list)
    embedded: list[list[str]] = field(default_factory=list)
    events: list[ToolResult] = field(default_factory=list)
    ledger: Ledger = field(default_factory=lambda: Ledger("ingest"))
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    routes: list[int] = field(default_factory=list)

    def session(self, budget: int = 30_000, model: str = "scripted", seed: int = 11) -> Session:
        """A session that counts words as tokens."""

        async def call(request: Request) -> Completion:
            if not request.embeds:
                self.requests.append(request)
                return self.reply(request)
            texts = texts_of(request)
            self.embedded.append(texts)
            return Completion("\n".join(pack(np.array(self.vector(text), np.float32)) for text in texts))

        route = bound.open_route(call, self.loop)
        self.routes.append(route)
        return Session(
            models={role: bound.BoundModel(model, role, route) for role in ("memory", "embedder")},
            seed=seed,
            scratch=Path("nowhere"),
            budget=budget,
            count=lambda text: len(text.split()),
            record=self.events.append,
        )

    def run(self, result):
        """What a method returns, plain or async."""
        if not inspect.isawaitable(result):
            return result
        usage.current.set(self.ledger)
        return self.loop.run_until_complete(result)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for route in made.routes:
        bound.close_route(route)
    made.loop.close()
