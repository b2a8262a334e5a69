"""One process builds a memory at a time; the others wait for what they need of it, or for their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from memeval.models.store import to_stderr
from memeval.records.memory import Built, BuiltAt, MemoryWriter

POLL = 0.1
"""Seconds between two looks at what another process has built."""


class MemoryTurn:
    """This process's turn to build one memory. It is taken when something is missing that no other process is building, and
    ends when all contexts are read, or at `close`.

    contexts: readings to come (a context in one repeat). replayable: what is built already need not be built here: the agent
    is run on the stored replies.
    """

    def __init__(
        self, writer: MemoryWriter, contexts: int, replayable: bool = True, notice: Callable[[str], None] = to_stderr
    ) -> None:
        self.writer = writer
        self._left = contexts
        self._replayable = replayable
        self._notice = notice
        self._waited = False
        self._built = Built(writer.folder)

    async def wait(self, wanted: set[BuiltAt]) -> None:
        """Return when these prefixes of a stream are built, or this process may build them."""
        while not self.writer.held:
            if (self._replayable and self._built.through(wanted)) or self.writer.take():
                return
            if not self._waited:
                self._waited = True
                self._notice(f"memeval: waiting for another process, which builds the memory {self.writer.folder.path}")
            await asyncio.sleep(POLL)

    def read(self) -> None:
        """A context was read."""
        self._left -= 1
        if not self._left:
            self.close()

    def close(self) -> None:
        self.writer.release()
