"""Where the calls of a foreign agent are booked: its process shares no context variable with the engine.

The engine opens a `Slot` with a token of the proxy and wraps each step of the agent in `slot.step()`; calls that arrive over
the wire during a step go to the ledger of that step. A call that ends between two steps (an agent that works in the
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
    """A ledger that passes on what is booked in it to the ledger of the current step. Safe to use from several threads.

    waiting: (role, completion, facts) of calls that ended outside any step and are not booked yet; what is left when the
    agent is closed belongs to no step.
    """

    def __init__(self) -> None:
        super().__init__("proxy")
        self.waiting: list[tuple[str, Completion, CallFacts]] = []
        self._current: Ledger | None = None
        self._stop: Exception | None = None
        self._lock = threading.Lock()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Book the calls of this block in the ledger that `usage.current` holds now. One step at a time.

        Raises, at the end of the block and whatever the agent did about it, the error of a call that must stop
        the run (StopRun, UsageError, or a bug of ours): the agent saw only an HTTP status.
        """
        ledger = usage.current.get()
        with self._lock:
            if self._current is not None:
                raise RuntimeError("another step of this agent has not ended")
            self._current, self.phase = ledger, ledger.phase  # calls after the step still belong to its phase
            for call in self.waiting:
                ledger.book(*call)
            self.waiting.clear()
        try:
            yield
        finally:
            with self._lock:
                self._current = None
            if self._stop is not None:
                raise self._stop

    def book(self, role: str, completion: Completion, facts: CallFacts) -> None:
        with self._lock:
            if self._current is None:
                self.waiting.append((role, completion, facts))
            else:
                self._current.book(role, completion, facts)

    def stop(self, error: Exception) -> None:
        """Remember the first error that must stop the run."""
        self._stop = self._stop or error
