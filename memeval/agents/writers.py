"""A writer that follows a rule, for comparison with a trained one: it stores all lines, or a random part."""

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
    """Stores lines of what it reads unchanged, and recalls all that it holds, newest first.

    share: the probability that a line is stored, drawn from the session's seed. words: store only lines with one of these
    words. capacity: most tokens that it holds; beyond it the oldest lines are dropped (0: no cap).
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
        drawn = hashlib.sha256(f"{self.session.seed} {chunk} {number} {line}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(drawn[:8], "big") < self.share * 2**64
