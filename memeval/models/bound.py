"""The model as an agent holds it: `session.models["memory"]`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memeval.models import usage
from memeval.models.completion import Completion, Message, Request

Call = Callable[[Request], Awaitable[Completion]]

# A bound model holds the number of its route, not the route: who walks over what an agent holds finds no way from here
# into the run, where the golds are.
_routes: dict[int, tuple[Call, asyncio.AbstractEventLoop]] = {}
_numbers = itertools.count(1)


def open_route(call: Call, loop: asyncio.AbstractEventLoop) -> int:
    """Register where the calls of some bound models go; close it with `close_route`."""
    number = next(_numbers)
    _routes[number] = (call, loop)
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
        call, _ = _routes[self.route]
        request = Request(messages, tools, {**params, **self.params}, self.repeat, sample)
        completion = await call(request)
        usage.current.get().book(self.role, completion)
        return completion

    def generate_sync(self, *args: Any, **kwargs: Any) -> Completion:
        """`generate` for agents with plain methods (they run in a worker thread, never on the event loop)."""
        ledger = usage.current.get()
        _, loop = _routes[self.route]

        async def booked() -> Completion:
            usage.current.set(ledger)
            return await self.generate(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(booked(), loop).result()

    def __copy__(self) -> BoundModel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundModel:
        return self
