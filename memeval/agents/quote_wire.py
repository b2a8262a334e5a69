"""The prompt and reply of a tiny writer: words alone. Its reply is a list of words, each a call that quotes (`@word`).

The prompt is the newest entries and the chunk between their tags, without instructions: such a model reads no English.
"""

from __future__ import annotations

from collections.abc import Sequence

from memeval.memory.quoting import SIGN
from memeval.memory.store import CORE, MemoryStore
from memeval.memory.tools import INSERT
from memeval.models.completion import Completion, ToolCall
from memeval.prompts import CHUNK, MEMORY, tagged

CALLS = 6
"""Calls of one reply at most."""
LIMIT = CALLS + 1
"""Tokens of one reply: its words and the end token."""


def newest(store: MemoryStore, recent: int) -> list[str]:
    """The newest entries of each list, oldest of them first."""
    return [entry.text for kind in store.including if kind != CORE for _, entry in store.recent(kind, recent)]


def messages(shown: Sequence[str], chunk: str) -> list[dict[str, str]]:
    """shown: the entries that are in view."""
    return [{"role": "user", "content": f"{tagged(MEMORY, chr(10).join(shown))}\n{tagged(CHUNK, chunk)}"}]


def parse(completion: Completion, including: Sequence[str]) -> list[ToolCall]:
    """The calls of a reply, in order, into the first list of the memory. The last word of a reply that was cut off at its
    limit is left out."""
    words = completion.text.split()
    kind = next((kind for kind in including if kind != CORE), CORE)
    return [
        ToolCall(INSERT, {"memory_type": f"{kind}_memory", "content": f"{SIGN}{word.removeprefix(SIGN)}"}, word)
        for word in (words if completion.whole else words[:-1])[:CALLS]
    ]
