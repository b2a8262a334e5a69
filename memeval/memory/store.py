"""The memory of Mem-alpha (arXiv 2509.25911, section 3.3): one core text, and lists of semantic and episodic entries.

Every change returns its effect, a plain mapping from which the contents can be replayed (`memeval.agent.ToolResult`).
What cannot be done raises `MemoryFault` with a reason for the log. Where the official code is careless we are not: ids
never collide, and an id that does not exist is an error.
"""

from __future__ import annotations

import hashlib
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
    """One remembered text. `chunks`: ids of the chunks it was written or changed at, in order. `tokens`: by the task's
    tokenizer. `number`: its entry in the search index of its type (0 for core, which is not searched)."""

    text: str
    chunks: tuple[str, ...]
    tokens: int
    number: int


class MemoryStore:
    """Core, semantic and episodic memory of one stream.

    count: tokens of a text, in the task's tokenizer. including: the types it has. seed: of the ids. core_tokens: the cap
    of the core text, in o200k tokens. capacity: the cap of either list, in tokens of `count`; 0 is none. `drop_oldest`
    keeps to it. cut: (core text, cap) -> the text within it; default: `cut_to`.
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
        self._cut = cut or cut_to
        self._count = count
        self._key = int.from_bytes(hashlib.sha256(f"memory ids {seed}".encode()).digest()[:8], "big")  # of the ids
        self._issued = 0
        self._core: Entry | None = None
        lists = [kind for kind in self.including if kind != CORE]
        self._entries: dict[str, dict[str, Entry]] = {kind: {} for kind in lists}
        self._texts: dict[str, Counter[str]] = {kind: Counter() for kind in lists}
        self._ids: dict[str, list[str]] = {kind: [] for kind in lists}  # by number in the index
        self._indexes = {kind: BM25Index() for kind in lists}
        self._tokens = dict.fromkeys(self.including, 0)

    # -- changing -------------------------------------------------------------------------------------------------

    def insert(self, kind: str, text: str, chunk: str) -> dict[str, Any] | None:
        """Append an entry; its effect, or None when an entry of that type has exactly this text."""
        self._check(kind)
        if kind == CORE:
            raise MemoryFault("core memory takes no insert: it is one text; write it with memory_update")
        if self._texts[kind][text]:
            return None
        name = self._new_id()
        self._ids[kind].append(name)
        return self._put(kind, name, Entry(text, (chunk,), self._count(text), self._indexes[kind].add(text)))

    def update(self, kind: str, name: str, text: str, chunk: str) -> dict[str, Any]:
        """Replace an entry's text (it keeps id and place), or the whole core text, cut to its cap; the effect."""
        self._check(kind)
        if kind == CORE:
            text = self._cut(text, self.core_tokens)
            chunks = _joined(self._core.chunks if self._core else (), chunk)
            return self._put_core(Entry(text, chunks, self._count(text), 0))
        old = self._entry(kind, name)
        self._forget(kind, old)
        self._indexes[kind].update(old.number, text)
        return self._put(kind, name, Entry(text, _joined(old.chunks, chunk), self._count(text), old.number))

    def delete(self, kind: str, name: str) -> dict[str, Any]:
        """Remove an entry, or clear the core text; the effect. Its id is not issued again."""
        self._check(kind)
        if kind == CORE:
            self._core, self._tokens[CORE] = None, 0
            return {"op": "delete", "type": CORE, "id": CORE}
        old = self._entry(kind, name)
        self._forget(kind, old)
        self._indexes[kind].delete(old.number)
        del self._entries[kind][name]
        return {"op": "delete", "type": kind, "id": name}

    def drop_oldest(self) -> list[dict[str, Any]]:
        """Delete the oldest entries of each list that holds more than `capacity`, but never its newest; the effects."""
        effects = []
        for kind, entries in self._entries.items():
            while self.capacity and self._tokens[kind] > self.capacity and len(entries) > 1:
                effects.append(self.delete(kind, next(iter(entries))))
        return effects

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def core(self) -> Entry | None:
        return self._core

    def holds(self, kind: str, name: str) -> bool:
        """Whether there is an entry with this id; of core, whether the memory has it at all."""
        return kind == CORE or name in self._entries.get(kind, {})

    def size(self, kind: str) -> int:
        """Entries of a listed type."""
        return len(self._entries[kind])

    def recent(self, kind: str, k: int) -> list[tuple[str, Entry]]:
        """The `k` newest entries of a type as (id, entry), oldest of them first. An updated entry stays where it was."""
        return list(islice(reversed(self._entries[kind].items()), k))[::-1]

    def search(self, kind: str, query: str, k: int) -> list[tuple[str, Entry, float]]:
        """The `k` best entries of a type as (id, entry, BM25 score), best first."""
        ids, entries = self._ids[kind], self._entries[kind]
        return [(ids[number], entries[ids[number]], score) for number, score in self._indexes[kind].search(query, k)]

    def contents(self) -> dict[str, dict[str, str]]:
        """type -> id -> text, in order; types that hold nothing are left out. Equals what `replay` makes of the effects."""
        found = {CORE: {CORE: self._core.text}} if self._core else {}
        for kind, entries in self._entries.items():
            if entries:
                found[kind] = {name: entry.text for name, entry in entries.items()}
        return found

    def stats(self) -> MemoryStats:
        """Tokens held by type (texts only: no ids, no tags; section 3.1.2 of the paper counts the same), and the entries."""
        return MemoryStats(dict(self._tokens), Entries(self.items))

    def items(self) -> list[Item]:
        """Everything held, with the chunks it was written at: the core text first, then each list in order."""
        core = [Item(self._core.text, self._core.chunks, CORE, kind=CORE)] if self._core else []
        lists = ((kind, *pair) for kind, entries in self._entries.items() for pair in entries.items())
        return core + [Item(entry.text, entry.chunks, name, kind=kind) for kind, name, entry in lists]

    def copy(self) -> MemoryStore:
        """An independent store with the same contents, which goes on issuing the ids this one would. The search indexes
        are copied when they are written to."""
        twin = MemoryStore.__new__(MemoryStore)
        twin.__dict__.update(self.__dict__)
        twin._entries = {kind: dict(entries) for kind, entries in self._entries.items()}
        twin._texts = {kind: texts.copy() for kind, texts in self._texts.items()}
        twin._ids = {kind: list(ids) for kind, ids in self._ids.items()}
        twin._indexes = {kind: index.copy() for kind, index in self._indexes.items()}
        twin._tokens = dict(self._tokens)
        return twin

    # -- inside ---------------------------------------------------------------------------------------------------

    def _check(self, kind: str) -> None:
        if kind not in self.including:
            raise MemoryFault(f"no memory type '{kind[:40]}'; this memory has {', '.join(self.including)}")

    def _entry(self, kind: str, name: str) -> Entry:
        entry = self._entries[kind].get(name)
        if entry is None:
            shown = [known for known, _ in self.recent(kind, 5)]
            held = f"{len(self._entries[kind])} entries, the newest {', '.join(shown)}" if shown else "no entries"
            raise MemoryFault(f"no {kind} entry has the id '{name[:40]}'; there are {held}")
        return entry

    def _put(self, kind: str, name: str, entry: Entry) -> dict[str, Any]:
        self._entries[kind][name] = entry
        self._texts[kind][entry.text] += 1
        self._tokens[kind] += entry.tokens
        return {"op": "put", "type": kind, "id": name, "text": entry.text, "chunks": list(entry.chunks)}

    def _put_core(self, entry: Entry) -> dict[str, Any]:
        self._core, self._tokens[CORE] = entry, entry.tokens
        return {"op": "put", "type": CORE, "id": CORE, "text": entry.text, "chunks": list(entry.chunks)}

    def _forget(self, kind: str, old: Entry) -> None:
        self._tokens[kind] -= old.tokens
        self._texts[kind][old.text] -= 1
        if not self._texts[kind][old.text]:
            del self._texts[kind][old.text]

    def _new_id(self) -> str:
        """Four hex digits that look random (the official ids are cut from a UUID and collide): a permutation of the
        counter that the seed chooses. From entry 65,536 on a fifth digit in front keeps them apart."""
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
        low, high = 0, len(ends)  # the first `low` ends fit, those from `high` on do not
        while low < high:
            middle = (low + high) // 2
            if count(text[: ends[middle]] + CUT_MARK) <= limit:
                low = middle + 1
            else:
                high = middle
        if low:
            return text[: ends[low - 1]] + CUT_MARK
    return CUT_MARK.strip()


def _word_ends(text: str) -> Iterator[int]:
    for place in range(1, len(text)):
        if text[place].isspace() and not text[place - 1].isspace():
            yield place


def _joined(chunks: tuple[str, ...], chunk: str) -> tuple[str, ...]:
    return chunks if chunk in chunks else (*chunks, chunk)
