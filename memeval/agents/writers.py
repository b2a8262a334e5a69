"""Writers that follow a rule, for comparison with one that has learned what to write: all lines, or a random part."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence

from memeval.agent import Chunk, MemoryStats, Query, Recall, Session, ToolResult
from memeval.errors import UsageError
from memeval.memory.store import SEMANTIC, MemoryStore
from memeval.memory.tools import DELETE, DROPPED, INSERT


class Writer:
    """Stores lines of what it reads as they are; recall is all that is held, the newest first.

    share: the part of the lines that is stored, each drawn by chance from the session's seed. words: only lines with one of
    these words are stored. capacity: tokens that it may hold, the oldest lines are dropped (0: no cap).
    """

    concurrent = True

    def __init__(self, share: float = 1.0, words: Sequence[str] = (), capacity: int = 0) -> None:
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise UsageError(f"share is {share!r}, expected a number from 0 to 1")
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 0:
            raise UsageError(f"capacity is {capacity!r}, expected a whole number of tokens, 0 for no cap")
        self.share, self.words, self.capacity = share, frozenset(words), capacity

    def begin(self, session: Session) -> None:
        self.session = session
        self.store = MemoryStore(session.count, (SEMANTIC,), session.seed, capacity=self.capacity)

    def observe(self, chunk: Chunk) -> None:
        for number, line in enumerate(filter(str.strip, chunk.text.splitlines())):
            if self._wanted(line, chunk.id, number):
                effect = self.store.insert(SEMANTIC, line.strip(), chunk.id)
                self.session.record(ToolResult(INSERT, {}, "ok" if effect else "skipped", effect=effect))
        for effect in self.store.drop_oldest():
            self.session.record(ToolResult(DELETE, {}, DROPPED, "the memory was full", effect))

    def recall(self, query: Query) -> Recall:
        return Recall(self.store.items()[::-1])

    def memory(self) -> MemoryStats:
        return self.store.stats()

    def fork(self, session: Session) -> Writer:
        twin = copy.copy(self)
        twin.session, twin.store = session, self.store.copy()
        return twin

    def _wanted(self, line: str, chunk: str, number: int) -> bool:
        if self.words and self.words.isdisjoint(line.split()):
            return False
        lot = hashlib.sha256(f"{self.session.seed} {chunk} {number} {line}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(lot[:8], "big") < self.share * 2**64
