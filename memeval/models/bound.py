"""The model as an agent holds it: `session.models["memory"]`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from memeval.errors import StopRun, UsageError
from memeval.models import usage
from memeval.models.completion import Completion, Message, Request, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Sent = TypeVar("Sent")
Call = Callable[[Request], Awaitable[Completion]]
Embed = Callable[[Sequence[str], Mapping[str, Any]], Awaitable[list[Completion]]]
"""(texts, parameters) -> one completion per text, as `Embedder.embed` gives them"""

# A bound model holds the number of its route, not the route: who walks over what an agent holds finds no way from here
# into the run, where the golds are.
_routes: dict[int, tuple[Call, asyncio.AbstractEventLoop, Embed | None]] = {}
_numbers = itertools.count(1)


class EmbeddingFailed(Exception):
    """No vectors were obtained, after all retries. The message is one line; the question that needed them has failed."""


def open_route(call: Call, loop: asyncio.AbstractEventLoop, embed: Embed | None = None) -> int:
    """Register where the calls of some bound models go, and their embeddings; close it with `close_route`."""
    number = next(_numbers)
    _routes[number] = (call, loop, embed)
    return number


def close_route(number: int) -> None:
    _routes.pop(number, None)


@dataclass(frozen=True, eq=False)
class BoundModel:
    """A model bound to one role of a run: the only way for an agent to call a model, and where usage is booked.

    name: as the user gave it, for agents that adapt their wire format. params: sampling parameters the user configured for
    the role. A copy of an agent holds the same bound model.
    """

    name: str
    role: str
    route: int
    params: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 0

    async def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        sample: int = 0,
        **params: Any,
    ) -> Completion:
        """One call. `params` (temperature, max_tokens, stop, ...) are the agent's; what the user configured for the role
        overrules them. `sample` tells equal calls apart.

        What a server does wrong is no exception: `Completion.error` says it. An agent need not look, because the engine
        counts every question that depends on a failed call as failed. Raises only when the run itself must stop.
        """
        call, _, _ = _routes[self.route]
        ledger = usage.current.get()
        request = Request(messages, tools, {**params, **self.params}, self.repeat, sample, ledger.phase)
        completion = await self._routed(lambda: call(request))
        ledger.book(self.role, completion)
        return completion

    def generate_sync(self, *args: Any, **kwargs: Any) -> Completion:
        """`generate` for agents with plain methods (they run in a worker thread, never on the event loop)."""
        completion: Completion = self._on_the_loop(self.generate, *args, **kwargs)
        return completion

    async def embed(self, texts: Sequence[str], **params: Any) -> NDArray[np.float32]:
        """The vectors of `texts`: an array of shape (number of texts, dimensions), float32, rows in the order of the texts.

        `offline` and `hf/` give rows of length 1 (Euclidean), an endpoint gives what it sends. One call of the role,
        however many texts; equal texts are sent, and counted, once. Raises EmbeddingFailed when the model gave up (the
        engine counts the question as failed), UsageError when the role has no embedding model.
        """
        vectors, _ = await self.embed_counted(texts, **params)
        return vectors

    async def embed_counted(self, texts: Sequence[str], **params: Any) -> tuple[NDArray[np.float32], Usage]:
        """`embed`, and the tokens of the distinct texts."""
        from memeval.models.embeddings import unpack  # numpy is not needed by those who embed nothing

        embed = _routes[self.route][2]
        if embed is None:
            raise UsageError(f"role '{self.role}': nothing here embeds texts; choose a model with --embedder")
        if isinstance(texts, str):
            raise TypeError("embed takes a list of texts, not one text")
        texts = list(texts)
        found = await self._routed(lambda: embed(texts, {**params, **self.params}))
        first = dict(reversed(list(zip(texts, found, strict=True))))  # of equal texts, the one that was counted
        spent = sum((completion.usage for completion in first.values()), Usage())
        error = next((completion.error for completion in found if completion.error), None)
        usage.current.get().book(self.role, Completion(usage=spent, error=error))
        if error:
            raise EmbeddingFailed(error)
        return unpack([completion.text for completion in found], self.name), spent

    def embed_sync(self, *args: Any, **kwargs: Any) -> NDArray[np.float32]:
        """`embed` for agents with plain methods."""
        vectors: NDArray[np.float32] = self._on_the_loop(self.embed, *args, **kwargs)
        return vectors

    async def _routed(self, send: Callable[[], Awaitable[Sent]]) -> Sent:
        """Send on the loop of the route, wherever the caller runs: agents have threads and loops of their own."""
        ledger, loop = usage.current.get(), _routes[self.route][1]

        async def sent() -> Sent:
            usage.current.set(ledger)
            return await send()

        try:
            if asyncio.get_running_loop() is loop:
                return await send()
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sent(), loop))
        except StopRun as stop:
            ledger.stopped = stop  # an agent that catches everything must not swallow it
            raise

    def _on_the_loop(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Run a method of this model on the loop of its route, booked where the calling thread books."""
        ledger = usage.current.get()
        loop = _routes[self.route][1]

        async def booked() -> Any:
            usage.current.set(ledger)
            return await method(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(booked(), loop).result()

    def __copy__(self) -> BoundModel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundModel:
        return self
