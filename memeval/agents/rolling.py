"""A memory that is one text: the model rewrites it at each chunk, and what it leaves out is lost.

`summary`, `memagent` and `mem1` are such agents. They differ in their prompts, in which part of a reply becomes the memory,
and in which model answers.
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
"""The name of the operation that records a new text."""
EMPTY = "Empty."
"""The text that stands for an empty memory."""
Size = Annotated[int, Meta(ge=16)]
"""A number of tokens of a memory, and of a reply."""


class Rolling:
    """The base of these agents. memory_tokens: most tokens of the text, and of a reply. A reply without a text leaves the
    memory unchanged; a longer one is cut after its first `memory_tokens` tokens. prompts: the name of its set of prompts."""

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
        """Placeholder -> text, for what the agent reads for (a question, or none)."""
        return {}

    def new_text(self, reply: Completion) -> str:
        """The part of a reply that becomes the memory."""
        return reply.text

    def write(self, text: str, chunk: Chunk) -> None:
        """Overwrite the memory and record it; an empty text changes nothing and is recorded as an error."""
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
        """Call the model of the role `memory`, which writes, and which answers where the agent answers by itself. system,
        user: the parts of the prompts that make the messages; an empty system text makes no message."""
        texts = {"system": self.texts.fill(system, **values), "user": self.texts.fill(user, **values).strip()}
        messages = [{"role": role, "content": text} for role, text in texts.items() if text]
        return await self.session.models["memory"].generate(messages, temperature=0.0, max_tokens=self.memory_tokens)

    def in_view(self, **values: str) -> dict[str, str]:
        """`aim` for an agent that reads for the question where the session shows it, else for any question."""
        query = self.session.query
        goal = self.texts.fill("goals", "visible" if query else "blind", **values)
        return {"goal": goal, **(asked(query) if query else {"question": Block(""), "problem": Block("")})}

    def checked(self, name: str, value: Any, kind: Any) -> Any:
        """A parameter, checked against its type. Raises UsageError where it does not fit."""
        return typed(value, kind, type(self).__name__.lower(), name)

    def _items(self) -> list[Item]:
        return [Item(self.text, self.chunks, self.kind)] if self.text else []


class Summary(Rolling):
    """A rolling summary of all that was read, from which the harness's reader answers. memory_tokens: most tokens of the
    summary."""

    prompts = "summary"
    kind = "summary"


def asked(query: Query) -> dict[str, str]:
    """Placeholder -> text, for a question with its options: `question` is between our tags, `problem` is bare."""
    bare = f"[{query.time}] {query.text}" if query.time else query.text
    tagged = Block(reader_messages("", None, query.text, query.time, query.options)[1]["content"])
    return {"question": tagged, "problem": "\n".join([bare, *(query.options or ())])}


def recalled(recall: Recall) -> str:
    """The text of a recalled memory, which an answer budget may have cut."""
    return "\n\n".join(item.text for item in recall.items) or EMPTY


def first_tokens(text: str, limit: int, count: Callable[[str], int]) -> str:
    """`text` if it has at most `limit` tokens, else as much of its beginning."""
    if count(text) <= limit:
        return text
    return text[: bisect_right(range(1, len(text) + 1), limit, key=lambda end: count(text[:end]))].rstrip()
