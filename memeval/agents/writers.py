"""Writers that follow a rule, for comparison with one that has learned what to write: all lines, or a random part."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from memeval.agent import Chunk, MemoryStats, Query, Recall, Session, ToolResult
from memeval.memory.store import SEMANTIC, MemoryStore
from memeval.memory.tools import DELETE, DROPPED, INSERT
from memeval.typed import Count, typed

Share = Annotated[float, Meta(ge=0, le=1)]


class Writer:
    """Stores lines of what it reads as they are; recall is all that is held, the newest first.

    share: the part of the lines that is stored, each drawn by chance from the session's seed. words: only lines with one of
    these words are stored. capacity: tokens that it may hold, the oldest lines are dropped (0: no cap).
    """

    concurrent = True

    def __init__(self, share: float = 1.0, words: Sequence[str] = (), capacity: int = 0) -> None:
        self.share: float = typed(share, Share, "writer", "share")
        self.words: frozenset[str] = frozenset(typed(words, tuple[str, ...], "writer", "words"))
        self.capacity: int = typed(capacity, Count, "writer", "capacity")

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
