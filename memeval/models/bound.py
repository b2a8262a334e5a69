"""The model as an agent holds it: `session.models["memory"]`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.models import usage
from memeval.models.completion import Completion, Message, Request

Call = Callable[[Request], Awaitable[Completion]]


@dataclass(frozen=True, eq=False)
class BoundModel:
    """A model bound to one role of one context: the only way for an agent to call a model, and where usage is booked.

    name: for the agent to show or to adapt its wire format to. params: sampling defaults of the role. Copies (of an agent
    that holds it) are the same object.
    """

    name: str
    role: str
    call: Call
    loop: asyncio.AbstractEventLoop
    params: Mapping[str, Any]
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

        Never raises for what a server does: look at `error`, though there is no need to, because the engine counts every
        question that depends on a failed call as failed.
        """
        request = Request(messages, tools, {**params, **self.params}, self.repeat, sample)
        completion = await self.call(request)
        usage.current.get().book(self.role, completion)
        return completion

    def generate_sync(self, *args: Any, **kwargs: Any) -> Completion:
        """`generate` for agents with plain methods (they run in a worker thread, never on the event loop)."""
        ledger = usage.current.get()

        async def booked() -> Completion:
            usage.current.set(ledger)
            return await self.generate(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(booked(), self.loop).result()

    def __copy__(self) -> BoundModel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundModel:
        return self
