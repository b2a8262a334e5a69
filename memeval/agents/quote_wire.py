"""The prompt and reply format of a tiny writer. Its reply is a list of words, each a call that quotes lines (`@word`).

The prompt is the newest entries and the chunk between their tags, without instructions: such a model understands no English.
"""

from __future__ import annotations

from collections.abc import Sequence

from memeval.memory.quoting import SIGN
from memeval.memory.store import CORE, MemoryStore
from memeval.memory.tools import INSERT
from memeval.models.completion import Completion, ToolCall
from memeval.prompts import CHUNK, MEMORY, tagged

CALLS = 6
"""The most calls of one reply."""
LIMIT = CALLS + 1
"""The most tokens of one reply: its words and the end token."""


def newest(store: MemoryStore, recent: int) -> list[str]:
    """The `recent` newest entries of each list, oldest first."""
    return [entry.text for kind in store.including if kind != CORE for _, entry in store.recent(kind, recent)]


def messages(shown: Sequence[str], chunk: str) -> list[dict[str, str]]:
    """The messages of a call. shown: the entries that are in view."""
    return [{"role": "user", "content": f"{tagged(MEMORY, chr(10).join(shown))}\n{tagged(CHUNK, chunk)}"}]


def parse(completion: Completion, including: Sequence[str]) -> list[ToolCall]:
    """The calls of a reply, in order; they insert into the first list of the memory. If the reply was cut off at its limit,
    its last word is left out."""
    words = completion.text.split()
    kind = next((kind for kind in including if kind != CORE), CORE)
    return [
        ToolCall(INSERT, {"memory_type": f"{kind}_memory", "content": f"{SIGN}{word.removeprefix(SIGN)}"}, word)
        for word in (words if completion.whole else words[:-1])[:CALLS]
    ]
