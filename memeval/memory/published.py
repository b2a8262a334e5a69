"""The tools of Mem-alpha with the statuses of its own code (functions.py, memory.py and agent.py at 9c0e1f6).

For every call that keeps to the schemas, the memory is the same as by our rules. What differs is which calls succeed: an
insertion or update that names a type without `_memory` is an error, deleting an id that does not exist is not, and texts
that are empty or no strings are accepted. This matters where successes are counted, and for untrained models.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from typing import Any

from memeval import tokens
from memeval.memory.store import CORE, CORE_TOKENIZER, EPISODIC, SEMANTIC, TYPES, MemoryFault, MemoryStore
from memeval.memory.tools import DELETE, INSERT, NOTHING, UPDATE, Operation
from memeval.models.toolcalls import tidy


def _insert(store: MemoryStore, arguments: Mapping[str, Any], chunk: str) -> Mapping[str, Any] | None:
    kind = _type(arguments, (SEMANTIC, EPISODIC))
    return store.insert(kind, _stored(_given(arguments, "content")), chunk)


def _update(store: MemoryStore, arguments: Mapping[str, Any], chunk: str) -> Mapping[str, Any] | None:
    kind, content = _type(arguments, TYPES), _given(arguments, "new_content")
    if kind == CORE and not isinstance(content, str):
        raise MemoryFault("the core memory is a text")
    return store.update(kind, _id(arguments, kind), _stored(content), chunk)


def _delete(store: MemoryStore, arguments: Mapping[str, Any], chunk: str) -> Mapping[str, Any] | None:
    kind = str(_given(arguments, "memory_type")).replace("_memory", "")
    name = _id(arguments, kind)
    return store.delete(kind, name) if kind not in store.including or store.holds(kind, name) else NOTHING


OPERATIONS: Mapping[str, Operation] = {INSERT: _insert, UPDATE: _update, DELETE: _delete}


def cut_words(text: str, limit: int, mark: str) -> str:
    """Cut a core text to `limit` o200k tokens: keep the words that fit before the mark, with single spaces between them."""
    count = tokens.counter(CORE_TOKENIZER)
    if count(text) <= limit:
        return text
    words = text.split()
    fitting = bisect_right(range(1, len(words) + 1), limit - count(mark), key=lambda end: count(" ".join(words[:end])))
    return " ".join(words[:fitting]) + mark


def _type(arguments: Mapping[str, Any], allowed: Collection[str]) -> str:
    named = _given(arguments, "memory_type")
    if named not in [f"{kind}_memory" for kind in allowed]:
        raise MemoryFault(f"'memory_type' is {str(named)[:40]!r}, expected one of the enum")
    return str(named).replace("_memory", "")


def _id(arguments: Mapping[str, Any], kind: str) -> str:
    name = arguments.get("memory_id")
    return CORE if kind == CORE else name if isinstance(name, str) else ""


def _given(arguments: Mapping[str, Any], key: str) -> Any:
    if key not in arguments:
        raise MemoryFault(f"the argument '{key}' is missing")
    return arguments[key]


def _stored(content: Any) -> str:
    """Any content as text, in the form in which Python prints it."""
    return tidy(str(content))
