"""The model in an agent's session: `session.models["memory"]`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from memeval.errors import StopRun
from memeval.models import usage
from memeval.models.call_facts import call_facts, served_by
from memeval.models.completion import Completion, Message, Request, Usage
from memeval.records.rows import CallFacts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Call = Callable[[Request], Awaitable[Completion]]

# A bound model holds the number of its route, not the route: a walk over the objects that an agent holds finds no way from
# here into the run, where the golds are.
_routes: dict[int, tuple[Call, asyncio.AbstractEventLoop]] = {}
_numbers = itertools.count(1)


SAMPLES = 1 << 20
"""The first number of answer samples: larger than any sample number of an agent."""


class EmbeddingFailed(Exception):
    """No vectors were obtained after all retries. The message is one line; the question that needed them has failed."""


def open_route(call: Call, loop: asyncio.AbstractEventLoop) -> int:
    """Register the destination of the calls of bound models; `close_route` removes it."""
    number = next(_numbers)
    _routes[number] = (call, loop)
    return number


def close_route(number: int) -> None:
    _routes.pop(number, None)


@dataclass(frozen=True, eq=False)
class BoundModel:
    """A model bound to one role of a run. Agents call models only through it, and it counts their usage.

    name: as the user typed it, and kind: of its provider (models/providers.py), for agents that adapt their wire
    format. params: sampling parameters that the user configured for the role. agent: number of the agent that holds it
    (usage.py), 0 for the harness. A copy of an agent holds the same bound model.
    """

    name: str
    role: str
    route: int
    params: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 0
    agent: int = 0
    kind: str = ""

    async def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        sample: int = 0,
        **params: Any,
    ) -> Completion:
        """Make one call. `params` (temperature, max_tokens, stop, ...) come from the agent; the user's settings for the
        role override them. `sample` distinguishes equal calls.

        A server's error is not raised but returned in `Completion.error`. An agent need not check it, because the
        engine counts every question that depends on a failed call as failed. Raises only if the run itself must stop.
        """
        completion: Completion = await self._on_its_loop(self._generate, messages, tools, sample, **params)
        return completion

    async def _generate(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, sample: int, **params: Any
    ) -> Completion:
        call, _ = _routes[self.route]
        ledger = usage.current.get()
        sample += ledger.answer * SAMPLES
        request = Request(messages, tools, {**params, **self.params}, self.repeat, sample, ledger.phase)
        completion = await call(request)
        ledger.book(self.role, completion, call_facts(self.role, request, completion))
        return completion

    def generate_sync(self, *args: Any, **kwargs: Any) -> Completion:
        """`generate` for plain methods of agents (they run in a worker thread, never on the event loop)."""
        completion: Completion = self._handed_over(self.generate, *args, **kwargs).result()
        return completion

    async def embed(self, texts: Sequence[str], **params: Any) -> NDArray[np.float32]:
        """The vectors of `texts`: an array of shape (number of texts, dimensions), float32, rows in the order of the
        texts.

        `offline` and `hf/` return rows of length 1 (Euclidean), an endpoint what it sends. This is one call of the
        role, however many texts; equal texts are sent and counted once. Raises EmbeddingFailed if the model gave up
        (the engine counts the question as failed), UsageError if the role has no embedding model.
        """
        vectors, _ = await self.embed_counted(texts, **params)
        return vectors

    async def embed_counted(self, texts: Sequence[str], **params: Any) -> tuple[NDArray[np.float32], Usage]:
        """`embed`, plus the tokens of the distinct texts."""
        counted: tuple[NDArray[np.float32], Usage] = await self._on_its_loop(self._embed_counted, texts, **params)
        return counted

    async def _embed_counted(self, texts: Sequence[str], **params: Any) -> tuple[NDArray[np.float32], Usage]:
        from memeval.models.embeddings import asked, unpack  # imports numpy, which only embeddings need

        call, _ = _routes[self.route]
        if isinstance(texts, str):
            raise TypeError("embed takes a list of texts, not one text")
        distinct = list(dict.fromkeys(texts))
        reply = await call(asked(distinct, {**params, **self.params})) if distinct else Completion()
        booked = Completion(usage=reply.usage, error=reply.error)
        usage.current.get().book(self.role, booked, CallFacts(served=served_by(self.role, reply)))
        if reply.error:
            raise EmbeddingFailed(reply.error)
        vectors, rows = unpack(reply.text.split(), self.name), {text: row for row, text in enumerate(distinct)}
        return vectors[[rows[text] for text in texts]], reply.usage

    def embed_sync(self, *args: Any, **kwargs: Any) -> NDArray[np.float32]:
        """`embed` for plain methods of agents."""
        vectors: NDArray[np.float32] = self._handed_over(self.embed, *args, **kwargs).result()
        return vectors

    async def _on_its_loop(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Await a method of this model on the loop of its route, because an agent's thread has its own loop."""
        try:
            if asyncio.get_running_loop() is _routes[self.route][1]:
                return await method(*args, **kwargs)
            return await asyncio.wrap_future(self._handed_over(method, *args, **kwargs))
        except StopRun as stop:
            usage.ledger_of(self.agent).stopped = stop  # an agent that catches everything must not swallow it
            raise

    def _handed_over(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Future[Any]:
        """Schedule a method of this model on the loop of its route, counted where the caller's calls are counted."""
        ledger = usage.ledger_of(self.agent)
        loop = _routes[self.route][1]

        async def booked() -> Any:
            usage.current.set(ledger)
            return await method(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(booked(), loop)

    def __copy__(self) -> BoundModel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundModel:
        return self
