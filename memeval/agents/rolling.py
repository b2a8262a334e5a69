"""A memory that is one text: the model writes it anew at each chunk, and what it leaves out is gone.

`summary`, `memagent` and `mem1` are such agents. They differ in their prompts, in what of a reply becomes the memory, and in
who answers.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from typing import Annotated, Any, Self

from msgspec import Meta

from memeval.agent import Chunk, Item, MemoryStats, Query, Recall, Session, ToolResult
from memeval.models.completion import Completion
from memeval.prompts import CHUNK, MEMORY, reader_messages, tagged
from memeval.typed import typed

REWRITE = "memory_rewrite"
"""The name under which a new text is recorded."""
Size = Annotated[int, Meta(ge=16)]
"""Tokens of a memory, and of a reply."""


class Rolling(ABC):
    """What these agents share. memory_tokens: tokens of the text, and of a reply, at most. A reply without a text leaves
    the memory as it was; a longer one is cut after its first `memory_tokens` tokens. A prompt file for the role `memory`
    replaces the system text of reading."""

    concurrent = True
    kind = "memory"

    def __init__(self, memory_tokens: int = 1024) -> None:
        self.memory_tokens: int = self.checked("memory_tokens", memory_tokens, Size)

    def begin(self, session: Session) -> None:
        self.session = session
        self.text = ""
        self.chunks: tuple[str, ...] = ()

    async def observe(self, chunk: Chunk) -> None:
        system = self.session.prompts.get("memory") or self.reading()
        self.write(self.new_text(await self.generate(system, *self.view(chunk))), chunk)

    def recall(self, query: Query) -> Recall:
        return Recall(self._items())

    def memory(self) -> MemoryStats:
        return MemoryStats({self.kind: self.session.count(self.text) if self.text else 0}, self._items())

    def fork(self, session: Session) -> Self:
        twin = copy.copy(self)
        twin.session = session
        return twin

    @abstractmethod
    def reading(self) -> str:
        """The system text of reading."""

    def view(self, chunk: Chunk) -> list[str]:
        """What the model sees of a chunk and of all that was before it."""
        room = f"It may have at most {self.memory_tokens} tokens."
        return [tagged(MEMORY, self.text or "Empty."), tagged(CHUNK, chunk.text), room]

    def new_text(self, reply: Completion) -> str:
        """What of a reply becomes the memory."""
        return reply.text

    def write(self, text: str, chunk: Chunk) -> None:
        """Overwrite the memory."""
        text = text.strip()
        if not text:
            self.session.record(ToolResult(REWRITE, {}, "error", "the reply holds no memory: the old one stays"))
            return
        self.text = first_tokens(text, self.memory_tokens, self.session.count)
        self.chunks = (*self.chunks, chunk.id)
        said = "" if self.text == text else f"cut to {self.memory_tokens} tokens"
        effect = {"op": "put", "type": self.kind, "id": self.kind, "text": self.text, "chunks": list(self.chunks)}
        self.session.record(ToolResult(REWRITE, {}, "ok", said, effect))

    async def generate(self, system: str, *parts: str) -> Completion:
        """One call of the model that writes the memory, and that answers where the agent answers by itself."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)}]
        return await self.session.models["memory"].generate(messages, temperature=0.0, max_tokens=self.memory_tokens)

    def checked(self, name: str, value: Any, kind: Any) -> Any:
        """A parameter as its type. Raises UsageError."""
        return typed(value, kind, type(self).__name__.lower(), name)

    def _items(self) -> list[Item]:
        return [Item(self.text, self.chunks, self.kind)] if self.text else []


def problem(query: Query | None) -> list[str]:
    """A question between its tags, with its options; nothing where it is not shown."""
    return [reader_messages("", None, query.text, query.time, query.options)[1]["content"]] if query else []


def recalled(recall: Recall) -> str:
    """The text of a recalled memory; an answer budget may have cut it."""
    return "\n\n".join(item.text for item in recall.items) or "Empty."


def first_tokens(text: str, limit: int, count: Callable[[str], int]) -> str:
    """`text` if it has at most `limit` tokens, else its beginning that has."""
    if count(text) <= limit:
        return text
    return text[: bisect_right(range(1, len(text) + 1), limit, key=lambda end: count(text[:end]))].rstrip()
