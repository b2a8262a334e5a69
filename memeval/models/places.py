"""Decide how many calls one endpoint gets at once, and when the next one may be sent.

The number starts at the cap, is halved when the endpoint turns out to be too slow (once per round trip), and grows with
replies, by one per round trip.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Places:
    """The places for calls in flight to one endpoint, on one event loop. limit: their current number, 1 to `cap`. rpm,
    tpm: most requests and tokens per minute (0: no limit)."""

    def __init__(self, cap: int, rpm: float, tpm: float) -> None:
        self.cap = cap
        self.limit = float(cap)
        self._rpm, self._tpm = rpm, tpm
        self._taken = 0
        self._queue: deque[tuple[asyncio.Future[None], int]] = deque()  # waiting calls, and the tokens of their prompts
        self._resume_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._cut_at = 0.0
        self._closed: Exception | None = None

    @asynccontextmanager
    async def taken(self, tokens: int, again: bool) -> AsyncIterator[None]:
        """Wait for a place, and hold it for this block. again: a repeated attempt goes before calls that have not been
        sent yet. Raises the error that the places were closed with."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if again:
            self._queue.appendleft((place, tokens))
        else:
            self._queue.append((place, tokens))
        self._give()
        try:
            await place
            yield
        finally:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._taken -= 1
                self._give()

    def grow(self) -> None:
        """Increase the limit after a reply."""
        self.limit = min(float(self.cap), self.limit + 1.0 / self.limit)

    def cut(self, started: float) -> None:
        """Halve the limit: the attempt that was sent at `started` shows that the endpoint is too slow."""
        if started >= self._cut_at:  # attempts sent before the last cut say nothing about the rate after it
            self.limit = max(1.0, self.limit / 2)
            self._cut_at = time.monotonic()

    def pause_until(self, when: float) -> None:
        """Send no attempt before this time."""
        self._resume_at = max(self._resume_at, when)

    def pace(self, tokens: int, requests: int = 0) -> None:
        """Delay the next attempt by the time that these take at the rate per minute."""
        by_requests = 60.0 * requests / self._rpm if self._rpm else 0.0
        by_tokens = 60.0 * tokens / self._tpm if self._tpm else 0.0
        if by_requests or by_tokens:
            self._resume_at = max(self._resume_at, time.monotonic()) + max(by_requests, by_tokens)

    def close(self, error: Exception) -> None:
        """Raise `error` in every waiting and every later call."""
        self._closed = error
        self._give()

    def _give(self) -> None:
        """Assign free places to waiting calls."""
        if self._closed is not None:
            for place, _ in self._queue:
                if not place.done():
                    place.set_exception(self._closed)
            self._queue.clear()
        while self._queue and self._taken < int(self.limit):
            pause = self._resume_at - time.monotonic()
            if pause > 0:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(pause, self._resume)
                return
            place, tokens = self._queue.popleft()
            if not place.done():
                self._taken += 1
                place.set_result(None)
                self.pace(tokens, requests=1)

    def _resume(self) -> None:
        self._timer = None
        self._give()
