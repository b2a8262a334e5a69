"""The memory of Mem-alpha (arXiv 2509.25911, section 3.3): one core text, and lists of semantic and episodic entries.

Every change returns its effect, a plain mapping from which the contents can be replayed (`memeval.agent.ToolResult`). An
operation that cannot be done raises `MemoryFault` with a reason for the log. Unlike in the official code, ids never collide,
and an id that does not exist is an error.
"""

from __future__ import annotations

import copy
import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from memeval import tokens
from memeval.agent import Item, MemoryStats
from memeval.bm25 import BM25Index
from memeval.memory.entries import Entries

CORE, SEMANTIC, EPISODIC = "core", "semantic", "episodic"
TYPES = (CORE, SEMANTIC, EPISODIC)
CUT_MARK = " [core memory is full: the rest was cut]"
CORE_TOKENIZER = "o200k_base"
"""The tokenizer of the published cap (the official code's `gpt-4o-mini` encoding), for every task."""


class MemoryFault(Exception):
    """A memory operation that cannot be done; the memory is unchanged."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One remembered text. `chunks`: ids of the chunks at which it was written or changed, in order. `tokens`: by the task's
    tokenizer. `number`: its number in the search index of its type (0 for core, which is not searched)."""

    text: str
    chunks: tuple[str, ...]
    tokens: int
    number: int


class _List:
    """The entries of one type by id, in the order of insertion, with their texts, search index and total of tokens."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.texts: Counter[str] = Counter()
        self.ids: list[str] = []  # by number in the index
        self.index = BM25Index()
        self.tokens = 0

    def put(self, name: str, entry: Entry) -> None:
        self.entries[name] = entry
        self.texts[entry.text] += 1
        self.tokens += entry.tokens

    def forget(self, old: Entry) -> None:
        self.tokens -= old.tokens
        self.texts[old.text] -= 1
        if not self.texts[old.text]:
            del self.texts[old.text]

    def copy(self) -> _List:
        twin = copy.copy(self)
        twin.entries, twin.texts, twin.ids = dict(self.entries), self.texts.copy(), list(self.ids)
        twin.index = self.index.copy()
        return twin


class MemoryStore:
    """Core, semantic and episodic memory of one stream.

    count: the number of tokens of a text, by the task's tokenizer. including: the types that it has. seed: of the ids.
    core_tokens: the cap of the core text, in o200k tokens. capacity: the cap of each list, in tokens by `count` (0: none),
    which `drop_oldest` enforces. cut: (core text, cap) -> the text within the cap; default: `cut_to`.
    """

    def __init__(
        self,
        count: Callable[[str], int],
        including: Collection[str] = TYPES,
        seed: int = 0,
        core_tokens: int = 512,
        capacity: int = 0,
        cut: Callable[[str, int], str] | None = None,
    ) -> None:
        self.including = tuple(kind for kind in TYPES if kind in including)
        self.core_tokens = core_tokens
        self.capacity = capacity
        self.core: Entry | None = None
        self._cut = cut or cut_to
        self._count = count
        self._key = int.from_bytes(hashlib.sha256(f"memory ids {seed}".encode()).digest()[:8], "big")  # of the ids
        self._issued = 0
        self._lists = {kind: _List() for kind in self.including if kind != CORE}

    # -- changing -------------------------------------------------------------------------------------------------

    def insert(self, kind: str, text: str, chunk: str) -> dict[str, Any] | None:
        """Append an entry and return the effect; None where an entry of that type has exactly this text."""
        self._check(kind)
        if kind == CORE:
            raise MemoryFault("core memory takes no insert: it is one text; write it with memory_update")
        held = self._lists[kind]
        if held.texts[text]:
            return None
        name = self._new_id()
        held.ids.append(name)
        return self._put(kind, name, Entry(text, (chunk,), self._count(text), held.index.add(text)))

    def update(self, kind: str, name: str, text: str, chunk: str) -> dict[str, Any]:
        """Replace an entry's text (it keeps id and place), or the whole core text, cut to its cap. Returns the effect."""
        self._check(kind)
        if kind == CORE:
            text = self._cut(text, self.core_tokens)
            self.core = Entry(text, _joined(self.core.chunks if self.core else (), chunk), self._count(text), 0)
            return _effect(CORE, CORE, self.core)
        old = self._entry(kind, name)
        self._lists[kind].forget(old)
        self._lists[kind].index.update(old.number, text)
        return self._put(kind, name, Entry(text, _joined(old.chunks, chunk), self._count(text), old.number))

    def delete(self, kind: str, name: str) -> dict[str, Any]:
        """Remove an entry, or clear the core text. Returns the effect. The id is not issued again."""
        self._check(kind)
        if kind == CORE:
            self.core = None
            return {"op": "delete", "type": CORE, "id": CORE}
        old, held = self._entry(kind, name), self._lists[kind]
        held.forget(old)
        held.index.delete(old.number)
        del held.entries[name]
        return {"op": "delete", "type": kind, "id": name}

    def drop_oldest(self) -> list[dict[str, Any]]:
        """Delete the oldest entries of each list that exceeds `capacity`, but never its newest. Returns the effects."""
        effects = []
        for kind, held in self._lists.items():
            while self.capacity and held.tokens > self.capacity and len(held.entries) > 1:
                effects.append(self.delete(kind, next(iter(held.entries))))
        return effects

    # -- reading --------------------------------------------------------------------------------------------------

    def holds(self, kind: str, name: str) -> bool:
        """Whether there is an entry with this id; always true for core."""
        return kind == CORE or (kind in self._lists and name in self._lists[kind].entries)

    def size(self, kind: str) -> int:
        """The number of entries of a type that is a list."""
        return len(self._lists[kind].entries)

    def recent(self, kind: str, k: int) -> list[tuple[str, Entry]]:
        """The `k` newest entries of a type as (id, entry), oldest first. An updated entry keeps its place."""
        return list(islice(reversed(self._lists[kind].entries.items()), k))[::-1]

    def search(self, kind: str, query: str, k: int) -> list[tuple[str, Entry, float]]:
        """The `k` best entries of a type as (id, entry, BM25 score), best first."""
        held = self._lists[kind]
        found = ((held.ids[number], score) for number, score in held.index.search(query, k))
        return [(name, held.entries[name], score) for name, score in found]

    def stats(self) -> MemoryStats:
        """The tokens held by type (of texts without ids and tags, as in section 3.1.2 of the paper), and the entries."""
        core = {CORE: self.core.tokens if self.core else 0} if CORE in self.including else {}
        return MemoryStats({**core, **{kind: held.tokens for kind, held in self._lists.items()}}, Entries(self.items))

    def items(self) -> list[Item]:
        """Everything held, with the chunks at which it was written: the core text first, then each list in order."""
        core = [(CORE, CORE, self.core)] if self.core else []
        lists = [(kind, *pair) for kind, held in self._lists.items() for pair in held.entries.items()]
        return [Item(entry.text, entry.chunks, name, kind=kind) for kind, name, entry in core + lists]

    def copy(self) -> MemoryStore:
        """An independent store with the same contents, which issues the same further ids. Search indexes are copied when
        they are written to."""
        twin = copy.copy(self)
        twin._lists = {kind: held.copy() for kind, held in self._lists.items()}
        return twin

    # -- inside ---------------------------------------------------------------------------------------------------

    def _check(self, kind: str) -> None:
        if kind not in self.including:
            raise MemoryFault(f"no memory type '{kind[:40]}'; this memory has {', '.join(self.including)}")

    def _entry(self, kind: str, name: str) -> Entry:
        entries = self._lists[kind].entries
        if name not in entries:
            shown = [known for known, _ in self.recent(kind, 5)]
            held = f"{len(entries)} entries, the newest {', '.join(shown)}" if shown else "no entries"
            raise MemoryFault(f"no {kind} entry has the id '{name[:40]}'; there are {held}")
        return entries[name]

    def _put(self, kind: str, name: str, entry: Entry) -> dict[str, Any]:
        self._lists[kind].put(name, entry)
        return _effect(kind, name, entry)

    def _new_id(self) -> str:
        """A new id: four hex digits that look random, by a permutation of the counter that the seed selects. From entry
        65,536 on, a fifth digit in front keeps ids unique. (The official ids are cut from a UUID and can collide.)"""
        key = self._key
        block, x = divmod(self._issued, 1 << 16)
        self._issued += 1
        for shift in (0, 16, 32):  # odd factor, sum, xor with the high half: each step is one to one on 16 bits
            x = (x * ((key >> shift) | 1) + (key >> (48 - shift))) & 0xFFFF
            x ^= x >> 8
        return f"{block:x}{x:04x}" if block else f"{x:04x}"


def cut_to(text: str, limit: int) -> str:
    """`text` if it has at most `limit` o200k tokens; otherwise its first words and a mark, together within `limit`.

    Cuts between words as the official code does (memory.py); a first word that is itself too long (text without blanks)
    is cut between characters, so that something remains.
    """
    count = tokens.counter(CORE_TOKENIZER)
    if count(text) <= limit:
        return text
    for ends in (list(_word_ends(text)), range(1, len(text))):
        fitting = bisect_right(ends, limit, key=lambda end: count(text[:end] + CUT_MARK))
        if fitting:
            return text[: ends[fitting - 1]] + CUT_MARK
    return CUT_MARK.strip()


def _word_ends(text: str) -> Iterator[int]:
    for place in range(1, len(text)):
        if text[place].isspace() and not text[place - 1].isspace():
            yield place


def _joined(chunks: tuple[str, ...], chunk: str) -> tuple[str, ...]:
    return chunks if chunk in chunks else (*chunks, chunk)


def _effect(kind: str, name: str, entry: Entry) -> dict[str, Any]:
    return {"op": "put", "type": kind, "id": name, "text": entry.text, "chunks": list(entry.chunks)}
