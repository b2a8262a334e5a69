"""A clock that does not depend on the machine."""

from __future__ import annotations

import asyncio
import os
import selectors
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

# Small matrices on all cores at once: slower than on one, many times so where other processes run.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass
class Clock:
    """`now`: what `time.monotonic()` says, in seconds."""

    now: float = 1000.0


GRACE = 0.002
"""Seconds for what one end of a local connection has written to be there at the other."""


class _Jumping(selectors.DefaultSelector):
    """Does not wait: where no socket is ready, the clock goes on to the event loop's next timer at once."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        alone = len(self.get_map()) == 1  # the event loop's own pipe
        ready = super().select(timeout if timeout is None else min(timeout, 0 if alone else GRACE))
        if not ready and timeout is not None:
            self._clock.now += timeout
        return ready


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Event loops whose seconds pass only while all their tasks wait. For code without threads, whose connections have
    both ends in the test."""
    made = Clock()

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return asyncio.SelectorEventLoop(_Jumping(made))

    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    asyncio.set_event_loop_policy(Policy())
    yield made
    asyncio.set_event_loop_policy(None)
