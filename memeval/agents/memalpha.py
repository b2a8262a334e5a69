"""Mem-alpha (arXiv 2509.25911): a model writes what it reads into core, semantic and episodic memory by tool calls.

Writing: one generation per chunk, with the core memory and only the newest few entries in view; its calls are executed in
order, and the model does not see their results. Recall: the core memory, and the BM25 top-k of each list for the bare
question; the harness's reader answers from them. The structure of the prompts (`_data/prompts/memalpha`) is the paper's
(figures 6 and 9, official main.py and agent.py), the words are our own. All defaults are the official ones.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Annotated, Any, Literal

from msgspec import Meta

from memeval.agent import Chunk, Item, MemoryStats, Query, Recall, Session
from memeval.agents import quote_wire, qwen_wire
from memeval.errors import UsageError
from memeval.memory import published, tools
from memeval.memory.quoting import ChunkLines, Quote, numbered
from memeval.memory.store import CORE, CUT_MARK, EPISODIC, SEMANTIC, TYPES, MemoryStore
from memeval.models.bound import BoundModel
from memeval.models.completion import ToolCall
from memeval.prompts import Block, Texts, reader_messages
from memeval.typed import Count, Positive, typed

Format = Literal["native", "qwen", "quotes", "published"]
Wire = Literal["auto", "native", "qwen", "quotes", "published"]
Order = Literal["auto", "search", "newest"]
CoreSize = Annotated[int, Meta(ge=16)]


class MemAlpha:
    """The agent. top_k: entries of each list that are recalled for a question. recent: entries of each list that are in view
    while writing. core, semantic, episodic: which memories it has. response_limit: most tokens of one reply; the prompt
    tells the model four fifths of it. core_tokens: cap of the core memory, in o200k tokens. capacity: cap of each list, in
    tokens of the task; beyond it the oldest entries are dropped (0: no cap). wire: how tools are called: `native`, `qwen`
    (the text format of the released checkpoint), `quotes` (quote_wire.py), `auto` (qwen for a model with Memalpha in its
    name, quotes for `tiny`) or `published` (the choice of the official code: native at T 0.6 for a model with gpt in its
    name, the text format without stop words for any other). strict: calls get the statuses of the official code
    (memory/published.py). quote: whether an insertion may name lines of the chunk by `word` or by `line` number instead of
    copying them (memory/quoting.py). recall: `search`, or `newest` for all that is held, newest first; `auto` is newest with
    the wire quotes. Its prompts are files (`memeval prompts list memalpha`). Where they have a part `reader_view`, entries
    are recalled bare and by type, and top_k is lowered until the reader's whole system text fits the budget, as in the
    official memory_server.py."""

    concurrent = True
    prompts = "memalpha"

    def __init__(
        self,
        top_k: int = 20,
        recent: int = 5,
        core: bool = True,
        semantic: bool = True,
        episodic: bool = True,
        response_limit: int = 2048,
        core_tokens: int = 512,
        wire: Wire = "auto",
        capacity: int = 0,
        quote: Quote = "none",
        recall: Order = "auto",
        strict: bool = False,
    ) -> None:
        self.top_k: int = typed(top_k, Count, "memalpha", "top_k")
        self.recent: int = typed(recent, Count, "memalpha", "recent")
        self.response_limit: int = typed(response_limit, Positive, "memalpha", "response_limit")
        self.core_tokens: int = typed(core_tokens, CoreSize, "memalpha", "core_tokens")
        self.capacity: int = typed(capacity, Count, "memalpha", "capacity")
        self.wire: Wire = typed(wire, Wire, "memalpha", "wire")
        self.quote: Quote = typed(quote, Quote, "memalpha", "quote")
        self.order: Order = typed(recall, Order, "memalpha", "recall")
        self.strict: bool = typed(strict, bool, "memalpha", "strict")
        self.including = [kind for kind, wanted in zip(TYPES, (core, semantic, episodic), strict=True) if wanted]
        if not self.including:
            raise UsageError("memalpha: core, semantic and episodic are all off; a memory needs one of them")

    def begin(self, session: Session) -> None:
        self.session = session
        self.texts = Texts(self.prompts, session.prompts)
        mark = self.texts.several("view").get("core.cut", CUT_MARK)
        cut = functools.partial(published.cut_words, mark=mark) if self.strict else None
        self.store = MemoryStore(session.count, self.including, session.seed, self.core_tokens, self.capacity, cut)
        self.operations = published.OPERATIONS if self.strict else tools.OPERATIONS
        self.format, self.temperature = _calling(self.wire, session.models["memory"])
        quotes = self.format == "quotes"
        self.quoting: Quote = "word" if quotes and self.quote == "none" else self.quote
        self.newest = self.order == "newest" or (quotes and self.order == "auto")
        self.tools = tools.schemas(self.texts.several("tools"), self.including, self.quoting)

    async def observe(self, chunk: Chunk) -> None:
        lines = None if self.quoting == "none" else ChunkLines(chunk.text, self.quoting)
        for call in await self._generate(chunk):
            for result in tools.execute_all(self.store, call, chunk.id, lines, self.operations):
                self.session.record(result)

    def recall(self, query: Query) -> Recall:
        """The core memory first, then the two lists by turns, each by score: semantic 1, episodic 1, semantic 2, ...

        The paper lowers k for both lists alike until the prompt fits its budget. In this order, dropping the last items does
        the same, so a smaller answer budget keeps what a smaller k would have kept. (The paper's reader sees one list after
        the other; here each item names its list.)
        """
        if self.newest:
            return Recall(self.store.items()[::-1])
        if "reader_view" in self.session.prompts:
            return self._recall_by_type(query)
        core = self.store.core
        first = [Item(f"[core] {core.text}", core.chunks, CORE)] if core else []
        left = self.session.budget - sum(self.session.count(item.text) for item in first)
        found = []
        for pair in zip_longest(
            *(self._search(kind, query.text) for kind in (SEMANTIC, EPISODIC) if kind in self.including)
        ):
            items = [item for item in pair if item is not None]
            left -= sum(self.session.count(item.text) for item in items)
            if left < 0:
                break
            found += items
        return Recall(first + found)

    def _recall_by_type(self, query: Query) -> Recall:
        """`recall` for a reader that sees a block for each type: k is lowered until its whole system text fits the
        budget."""
        texts, core = self.session.prompts, self.store.core
        kinds = [kind for kind in (SEMANTIC, EPISODIC) if kind in self.including]
        asks = re.search(r"\w", query.text)  # a query without words finds nothing in the official code
        found = {kind: self.store.search(kind, query.text, self.top_k) if asks else [] for kind in kinds}
        items: list[Item] = []
        for k in range(max(self.top_k, 1), 0, -1):
            items = [Item(core.text, core.chunks, CORE, kind=CORE)] if core and core.text.strip() else []
            for place in range(k):
                for kind, hits in found.items():
                    items += [
                        Item(entry.text, entry.chunks, name, score, kind) for name, entry, score in hits[place : place + 1]
                    ]
            shown = [(item.kind, item.text) for item in items]
            system, _ = reader_messages(texts.get("reader", ""), shown, query.text, texts=texts)
            if self.session.count(system["content"]) <= self.session.budget:
                break
        return Recall(items)

    def memory(self) -> MemoryStats:
        return self.store.stats()

    def fork(self, session: Session) -> MemAlpha:
        twin = copy.copy(self)
        twin.session = session
        twin.store = self.store.copy()
        return twin

    def _search(self, kind: str, question: str) -> list[Item]:
        return [
            Item(f"[{kind}] {entry.text}", entry.chunks, name, score)
            for name, entry, score in self.store.search(kind, question, self.top_k)
        ]

    async def _generate(self, chunk: Chunk) -> Sequence[ToolCall]:
        """The calls of the one generation for a chunk, greedy and without thinking as in the official evaluation."""
        model = self.session.models["memory"]
        settings: dict[str, Any] = {"temperature": self.temperature, "max_tokens": self.response_limit}
        if self.format == "quotes":
            settings["max_tokens"] = quote_wire.LIMIT
            messages = quote_wire.messages(quote_wire.newest(self.store, self.recent), self._chunk_text(chunk))
            return quote_wire.parse(await model.generate(messages, **settings), self.including)
        messages = self._messages(chunk)
        if self.format == "native":
            return (await model.generate(messages, self.tools, **settings)).tool_calls
        # the checkpoint is a Qwen3 that was trained without thinking: its chat template must switch it off
        settings |= {"chat_template_kwargs": {"enable_thinking": False}}
        messages[0]["content"] += f"\n\n{qwen_wire.tool_prompt(self.tools)}"
        if self.format == "published":
            return qwen_wire.parse_published((await model.generate(messages, **settings)).text)
        completion = await model.generate(messages, **settings, stop=qwen_wire.STOP)
        return qwen_wire.parse(completion.text, completion.whole)

    def _messages(self, chunk: Chunk) -> list[dict[str, str]]:
        """The messages for a chunk. In our prompts the constant text comes first, so that a server can cache the prefix."""
        bullets = [self.texts.fill("kinds", kind) for kind in self.texts.several("kinds") if kind in self.including]
        kinds = Block("\n".join(bullets))
        shared: dict[str, str | int] = {"memory": self._memory_view(), "limit": int(0.8 * self.response_limit)}
        system = self.texts.fill("system", kinds=kinds, **shared)
        user = self.texts.fill("user", chunk=self._chunk_text(chunk), **shared)
        return [{"role": "system", "content": system}, {"role": "user", "content": user}]

    def _chunk_text(self, chunk: Chunk) -> str:
        return numbered(chunk.text) if self.quoting == "line" else chunk.text

    def _memory_view(self) -> Block:
        """The memory as the writer sees it: the whole core text, and the newest entries of each list with their ids."""
        core = self.store.core
        held = {CORE: [(CORE, core.text)] if core else []} if CORE in self.including else {}
        lists = [kind for kind in self.including if kind != CORE]
        held |= {kind: [(name, entry.text) for name, entry in self.store.recent(kind, self.recent)] for kind in lists}
        blocks = self.texts.blocks("view", held, **{kind: self.store.size(kind) for kind in lists})
        return Block("\n\n".join(blocks.values()))


def _calling(wire: Wire, model: BoundModel) -> tuple[Format, float]:
    """(the format in which a model calls tools, its temperature). Where `wire` leaves the format open, the name decides."""
    name = model.name.lower()
    if wire == "published":
        if "gpt" in name:
            return "native", 0.6
        return "native" if model.kind == "offline" else "published", 0.0
    if wire != "auto":
        return wire, 0.0
    if model.kind == "tiny":
        return "quotes", 0.0
    return "qwen" if "memalpha" in re.sub(r"[^a-z0-9]", "", name) else "native", 0.0
