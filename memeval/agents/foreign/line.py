"""The line to the program or server of one context: one message at a time, the calls of each booked where it was sent."""

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
"""Seconds for the reply to `close`."""
UNBOOKED = ("fork", "close")
"""Methods that the engine opens no ledger for; what they call is booked with the next message."""

Shape = TypeVar("Shape", bound=Struct)


class Wire(Protocol):
    """How messages get there. What `open` and `ask` cannot do, they say by ForeignFailed."""

    async def open(self, base_url: str, token: str) -> None: ...

    async def ask(self, message: Mapping[str, Any]) -> Any:
        """The JSON value that comes back."""

    def stop(self) -> None:
        """Stop it at once, where it has failed."""

    async def end(self) -> str:
        """Let it end, and close what was opened. Returns the last of what it wrote to stderr."""


class Line:
    """Shared by an agent and its forks; it ends with the last of them, and with the first failure.

    name: for messages. timeout: seconds for one reply.
    """

    def __init__(self, name: str, wire: Wire, models: Mapping[str, BoundModel], timeout: float) -> None:
        self.name, self._wire, self._timeout = name, wire, timeout
        self.proxy = Proxy(models)
        self._lock = asyncio.Lock()
        self._users = self._number = 0
        self._failed = ""

    async def join(self) -> None:
        """One agent more that uses the line."""
        self._users += 1
        if self._users == 1:
            await self.proxy.__aenter__()
            try:
                await self._wire.open(self.proxy.base_url, self.proxy.token)
            except ForeignFailed as failed:
                raise await self._broken(str(failed)) from None

    async def leave(self) -> None:
        self._users -= 1
        if self._users == 0:
            await self._end()

    async def ask(self, method: str, shape: type[Shape], **facts: Any) -> Shape:
        """Send a message and return its reply. Raises ForeignFailed, in one line with the last of stderr."""
        async with self._lock:
            if self._failed:
                raise ForeignFailed(self._failed)
            self._number += 1
            message = {"id": self._number, "method": method, **facts}
            limit = min(self._timeout, CLOSING) if method == "close" else self._timeout
            try:
                with nullcontext() if method in UNBOOKED else self.proxy.step():
                    async with asyncio.timeout(limit):
                        return messages.shaped(await self._wire.ask(message), self._number, shape)
            except messages.Reported as failed:
                raise ForeignFailed(f"{self.name}: {method}: {failed}") from None
            except TimeoutError:
                raise await self._broken(f"{method}: no reply within {limit:g} s") from None
            except ForeignFailed as failed:
                raise await self._broken(f"{method}: {failed}") from None
            except BaseException:  # the method has taken too long, or the run ends
                await self._broken(f"{method} was stopped")
                raise

    async def _broken(self, what: str) -> ForeignFailed:
        self._failed = f"{self.name}: {what}"
        self._wire.stop()  # before anything is awaited: the thread of the context may be ending
        said = await self._end()
        self._failed += f"; its stderr ends: {said}" if said else ""
        return ForeignFailed(self._failed)

    async def _end(self) -> str:
        said = await self._wire.end()
        await self.proxy.__aexit__()
        return said.replace(self.proxy.token, "...")
