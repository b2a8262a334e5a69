"""One caller at a time goes on with its reply.

Replies that arrive together wake their callers in one round of the event loop, and the requests that these make leave in the
next one only (before Python 3.12, aiohttp writes from a task of its own). So the first would wait until all others have done
their work. Here each caller's request leaves before the next caller is woken; from then on their replies arrive apart.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """For the callers of one event loop. rounds: of the loop, after which what a caller sends has left."""

    def __init__(self, rounds: int = 1) -> None:
        self._rounds = rounds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def mine(self) -> None:
        """Wait until nobody else goes on in this round of the loop."""
        loop = asyncio.get_running_loop()
        if self._taken:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            loop.call_soon(self._next, loop, self._rounds)

    def _next(self, loop: asyncio.AbstractEventLoop, rounds: int) -> None:
        if rounds > 1:
            loop.call_soon(self._next, loop, rounds - 1)
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else its caller was cancelled
                turn.set_result(None)
                loop.call_soon(self._next, loop, self._rounds)  # behind what the caller, woken now, sends
                return
        self._taken = False
