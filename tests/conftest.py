"""A clock that does not depend on the machine."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass
class Clock:
    """`now`: what `time.monotonic()` says, in seconds."""

    now: float = 1000.0


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: where no socket is ready, the clock goes on to the event loop's next timer at once."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout is not None:
            self._clock.now += timeout
        return ready


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Event loops whose seconds pass only while all their tasks wait. For code without sockets and threads."""
    made = Clock()

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return asyncio.SelectorEventLoop(_Jumping(made))

    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    asyncio.set_event_loop_policy(Policy())
    yield made
    asyncio.set_event_loop_policy(None)
