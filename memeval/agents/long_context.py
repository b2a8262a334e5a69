"""The agent without a memory system: it keeps the stream and reads as much of it as fits.

This is the long-context baseline of arXiv 2509.25911, whose long_context_eval.py keeps the last tokens of the prompt (the
cut `head`). Here whole chunks are kept, and only the stream is cut, never the instructions. MemAgent's evaluation cuts the
middle (arXiv 2507.02259).
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal, Self

from memeval.agent import Chunk, Item, MemoryStats, Query, Recall, Session
from memeval.memory.entries import Entries
from memeval.typed import typed


class KeptStream:
    """The base of all agents that keep chunks unchanged: the memory is the stream itself."""

    concurrent = True

    def begin(self, session: Session) -> None:
        self.session = session
        self.chunks: list[Chunk] = []
        self.tokens = 0

    def observe(self, chunk: Chunk) -> Any:
        self.chunks.append(chunk)
        self.tokens += self.size(chunk)

    def memory(self) -> MemoryStats:
        return MemoryStats({"stream": self.tokens}, Entries(lambda: [item_of(chunk) for chunk in self.chunks]))

    def fork(self, session: Session) -> Self:
        """A copy that shares the chunks; only the list of them is copied."""
        twin = copy.copy(self)
        twin.session = session
        twin.chunks = list(self.chunks)
        return twin

    def size(self, chunk: Chunk) -> int:
        """The number of tokens of a chunk, by the task's tokenizer."""
        return chunk.tokens or self.session.count(chunk.text)


def item_of(chunk: Chunk) -> Item:
    """A whole chunk as an item."""
    return Item(chunk.text, (chunk.id,), chunk.id)


Part = Literal["head", "middle", "tail"]


class LongContext(KeptStream):
    """Recalls as many whole chunks as fit into `session.budget`, at least one, in the order of the stream. cut: the part
    that is left out of a stream that does not fit: its `head` (keeps the newest chunks), its `tail` (keeps the oldest) or
    its `middle` (keeps about as many tokens at both ends).

    The chunks are ranked from the end that is kept, or from both ends inwards, so that a smaller answer budget cuts at the
    same place."""

    def __init__(self, cut: Part = "head") -> None:
        self.cut: Part = typed(cut, Part, "long-context", "cut")

    def recall(self, query: Query) -> Recall:
        items: list[Item] = []
        left = self.session.budget
        for chunk in self._ranked():
            left -= self.size(chunk)
            if left < 0 and items:
                break
            items.append(item_of(chunk))
        return Recall(items, order="stream")

    def _ranked(self) -> Iterator[Chunk]:
        """The chunks by rank: the first one is kept longest, the last one is left out first."""
        rest = deque(self.chunks)
        balance = 0  # tokens taken from the head beyond those taken from the tail
        while rest:
            newest = self.cut == "head" or (self.cut == "middle" and balance >= 0)
            chunk = rest.pop() if newest else rest.popleft()
            balance += -self.size(chunk) if newest else self.size(chunk)
            yield chunk
