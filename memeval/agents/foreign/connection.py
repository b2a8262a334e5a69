"""The connection to the program or server of one context: one message at a time, and model calls booked to its method."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from memeval.agents.foreign import messages
from memeval.errors import ForeignFailed
from memeval.models.bound import BoundModel
from memeval.models.proxy.server import Proxy

CLOSING = 5.0
"""How many seconds the reply to `close` may take."""
UNBOOKED = ("fork", "close")
"""Methods for which the engine opens no ledger; their model calls are booked with the next message."""

Shape = TypeVar("Shape", bound=Struct)


class Transport(Protocol):
    """How messages are sent. `open` and `ask` raise ForeignFailed."""

    async def open(self, base_url: str, token: str) -> None: ...

    async def ask(self, message: Mapping[str, Any]) -> Any:
        """Send a message and return the JSON value of the reply."""

    def stop(self) -> None:
        """Stop the program at once, after a failure."""

    async def end(self) -> str:
        """Let the program end, and close what was opened. Returns the end of what it wrote to stderr."""


class Connection:
    """A connection that an agent and its forks share. It ends when the last of them leaves, and at the first failure.

    name: the agent's name in error messages. timeout: seconds for one reply.
    """

    def __init__(self, name: str, transport: Transport, models: Mapping[str, BoundModel], timeout: float) -> None:
        self.name, self._transport, self._timeout = name, transport, timeout
        self.proxy = Proxy(models)
        self._lock = asyncio.Lock()
        self._users = self._number = 0
        self._failed = ""

    async def join(self) -> None:
        """Count one more agent that uses the connection; the first one opens it."""
        self._users += 1
        if self._users == 1:
            await self.proxy.__aenter__()
            try:
                await self._transport.open(self.proxy.base_url, self.proxy.token)
            except ForeignFailed as failed:
                raise await self._broken(str(failed)) from None

    async def leave(self) -> None:
        """Count one agent less; the last one ends the connection."""
        self._users -= 1
        if self._users == 0:
            await self._end()

    async def ask(self, method: str, shape: type[Shape], **facts: Any) -> Shape:
        """Send a message and return its reply. Raises ForeignFailed, with one line that has the end of stderr."""
        async with self._lock:
            if self._failed:
                raise ForeignFailed(self._failed)
            self._number += 1
            message = {"id": self._number, "method": method, **facts}
            limit = min(self._timeout, CLOSING) if method == "close" else self._timeout
            try:
                with nullcontext() if method in UNBOOKED else self.proxy.step():
                    async with asyncio.timeout(limit):
                        return messages.shaped(await self._transport.ask(message), self._number, shape)
            except messages.Reported as failed:
                raise ForeignFailed(f"{self.name}: {method}: {failed}") from None
            except TimeoutError:
                raise await self._broken(f"{method}: no reply within {limit:g} s") from None
            except ForeignFailed as failed:
                raise await self._broken(f"{method}: {failed}") from None
            except BaseException:  # the method took too long, or the run ends
                await self._broken(f"{method} was stopped")
                raise

    async def _broken(self, what: str) -> ForeignFailed:
        self._failed = f"{self.name}: {what}"
        self._transport.stop()  # before anything is awaited: the thread of the context may be ending
        stderr = await self._end()
        self._failed += f"; its stderr ends: {stderr}" if stderr else ""
        return ForeignFailed(self._failed)

    async def _end(self) -> str:
        stderr = await self._transport.end()
        await self.proxy.__aexit__()
        return stderr.replace(self.proxy.token, "...")
