"""A memory that is one text: the model writes it anew at each chunk, and what it leaves out is gone.

`summary`, `memagent` and `mem1` are such agents. They differ in their prompts, in what of a reply becomes the memory, and in
who answers.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable
from typing import Annotated, Any, Self

from msgspec import Meta

from memeval.agent import Chunk, Item, MemoryStats, Query, Recall, Session, ToolResult
from memeval.models.completion import Completion
from memeval.prompts import Block, Texts, reader_messages
from memeval.typed import typed

REWRITE = "memory_rewrite"
"""The name under which a new text is recorded."""
EMPTY = "Empty."
"""How a memory without a text is shown."""
Size = Annotated[int, Meta(ge=16)]
"""Tokens of a memory, and of a reply."""


class Rolling:
    """What these agents share. memory_tokens: tokens of the text, and of a reply, at most. A reply without a text leaves
    the memory as it was; a longer one is cut after its first `memory_tokens` tokens. prompts: the set of its texts."""

    concurrent = True
    prompts = ""
    kind = "memory"

    def __init__(self, memory_tokens: int = 1024) -> None:
        self.memory_tokens: int = self.checked("memory_tokens", memory_tokens, Size)

    def begin(self, session: Session) -> None:
        self.session = session
        self.texts = Texts(self.prompts, session.prompts)
        self.text = ""
        self.chunks: tuple[str, ...] = ()

    async def observe(self, chunk: Chunk) -> None:
        seen = {"memory": self.text or EMPTY, "chunk": chunk.text, **self.aim()}
        reply = await self.generate("system", "user", limit=self.memory_tokens, **seen)
        self.write(self.new_text(reply), chunk)

    def recall(self, query: Query) -> Recall:
        return Recall(self._items())

    def memory(self) -> MemoryStats:
        return MemoryStats({self.kind: self.session.count(self.text) if self.text else 0}, self._items())

    def fork(self, session: Session) -> Self:
        twin = copy.copy(self)
        twin.session = session
        return twin

    def aim(self) -> dict[str, str]:
        """Placeholder -> text, of what it reads for."""
        return {}

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

    async def generate(self, system: str, user: str, **values: str | int) -> Completion:
        """One call of the model that writes the memory, and that answers where the agent answers by itself. system, user:
        the parts of the prompts that make the messages; an empty system text makes none."""
        texts = {"system": self.texts.fill(system, **values), "user": self.texts.fill(user, **values).strip()}
        messages = [{"role": role, "content": text} for role, text in texts.items() if text]
        return await self.session.models["memory"].generate(messages, temperature=0.0, max_tokens=self.memory_tokens)

    def in_view(self, **values: str) -> dict[str, str]:
        """`aim` of an agent that reads for the question where the session shows it, else for any."""
        query = self.session.query
        goal = self.texts.fill("goals", "visible" if query else "blind", **values)
        return {"goal": goal, **(asked(query) if query else {"question": Block(""), "problem": Block("")})}

    def checked(self, name: str, value: Any, kind: Any) -> Any:
        """A parameter as its type. Raises UsageError."""
        return typed(value, kind, type(self).__name__.lower(), name)

    def _items(self) -> list[Item]:
        return [Item(self.text, self.chunks, self.kind)] if self.text else []


class Summary(Rolling):
    """A rolling summary of all that was read, from which the harness's reader answers. memory_tokens: of the summary, at
    most."""

    prompts = "summary"
    kind = "summary"


def asked(query: Query) -> dict[str, str]:
    """Placeholder -> text, of a question with its options: between our tags, and without any."""
    bare = f"[{query.time}] {query.text}" if query.time else query.text
    tagged = Block(reader_messages("", None, query.text, query.time, query.options)[1]["content"])
    return {"question": tagged, "problem": "\n".join([bare, *(query.options or ())])}


def recalled(recall: Recall) -> str:
    """The text of a recalled memory; an answer budget may have cut it."""
    return "\n\n".join(item.text for item in recall.items) or EMPTY


def first_tokens(text: str, limit: int, count: Callable[[str], int]) -> str:
    """`text` if it has at most `limit` tokens, else its beginning that has."""
    if count(text) <= limit:
        return text
    return text[: bisect_right(range(1, len(text) + 1), limit, key=lambda end: count(text[:end]))].rstrip()
