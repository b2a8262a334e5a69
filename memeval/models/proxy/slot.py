"""Where the calls of a foreign agent are booked: its process shares no context variable with the engine.

The engine opens a `Slot` with the token of the proxy and wraps each step of the agent in `slot.step()`; calls that arrive
over the wire meanwhile go to the ledger of that step. A call that ends between two steps (an agent that works in the
background) is kept and booked in the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from memeval.models import usage
from memeval.models.completion import Completion
from memeval.models.usage import Ledger
from memeval.records.rows import CallFacts


class Slot(Ledger):
    """A ledger that passes on what is booked in it to the ledger of the step at hand. Safe to use from several threads.

    waiting: (role, completion, facts) of calls that ended outside any step and are not booked yet; what is left when the
    agent is closed belongs to no step.
    """

    def __init__(self) -> None:
        super().__init__("proxy")
        self.waiting: list[tuple[str, Completion, CallFacts]] = []
        self._at_hand: Ledger | None = None
        self._stop: Exception | None = None
        self._lock = threading.Lock()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Book the calls of this block in the ledger that `usage.current` holds now. One step at a time.

        Raises, at the end of the block and in place of whatever the agent made of it, the error of a call that must stop
        the run (StopRun, UsageError, or a bug of ours): the agent saw only an HTTP status.
        """
        ledger = usage.current.get()
        with self._lock:
            if self._at_hand is not None:
                raise RuntimeError("another step of this agent is under way")
            self._at_hand, self.phase = ledger, ledger.phase  # what is called after the step belongs to its phase still
            for call in self.waiting:
                ledger.book(*call)
            self.waiting.clear()
        try:
            yield
        finally:
            with self._lock:
                self._at_hand = None
            if self._stop is not None:
                raise self._stop

    def book(self, role: str, completion: Completion, facts: CallFacts) -> None:
        with self._lock:
            if self._at_hand is None:
                self.waiting.append((role, completion, facts))
            else:
                self._at_hand.book(role, completion, facts)

    def stop(self, error: Exception) -> None:
        """Remember the first error that must stop the run."""
        self._stop = self._stop or error
