"""The agent without a memory system: it keeps the stream and reads as much of its end as fits.

The long-context baseline of arXiv 2509.25911 (long_context_eval.py keeps the last tokens of the prompt); here whole
chunks are kept, and only the stream is cut, never the instructions.
"""

from __future__ import annotations

import copy
from typing import Self

from memeval.agent import Chunk, Item, MemoryStats, Query, Recall, Session
from memeval.memory.entries import Entries


class Stream:
    """What the flat baselines share: every chunk is kept, and the memory is the stream itself."""

    concurrent = True

    def begin(self, session: Session) -> None:
        self.session = session
        self.chunks: list[Chunk] = []
        self.tokens = 0

    def observe(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.tokens += self.size(chunk)

    def memory(self) -> MemoryStats:
        return MemoryStats({"stream": self.tokens}, Entries(lambda: [item_of(chunk) for chunk in self.chunks]))

    def fork(self, session: Session) -> Self:
        """A twin that shares the chunks; only the list of them is copied."""
        twin = copy.copy(self)
        twin.session = session
        twin.chunks = list(self.chunks)
        return twin

    def size(self, chunk: Chunk) -> int:
        """Tokens of a chunk, by the task's tokenizer."""
        return chunk.tokens or self.session.count(chunk.text)


def item_of(chunk: Chunk, score: float | None = None) -> Item:
    """A whole chunk as an item."""
    return Item(chunk.text, (chunk.id,), chunk.id, score)


class LongContext(Stream):
    """Recalls the last `session.budget` tokens of the stream as whole chunks: the newest ranks highest, and they are read
    in the order of the stream. The newest chunk is always among them."""

    def recall(self, query: Query) -> Recall:
        items: list[Item] = []
        left = self.session.budget
        for chunk in reversed(self.chunks):
            left -= self.size(chunk)
            if left < 0 and items:
                break
            items.append(item_of(chunk))
        return Recall(items, order="stream")
