"""The tools of Mem-alpha: how a model writes to a `MemoryStore`.

Names, parameters, enums and the order of keys are those of the official tools (functions.py), because checkpoints were
trained on them; the descriptions are part of the agent's prompts. `execute` never raises: a model's mistake becomes a result
with status `error`.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from memeval.agent import ToolResult
from memeval.memory.quoting import SIGN, ChunkLines, Quote
from memeval.memory.store import CORE, TYPES, MemoryFault, MemoryStore
from memeval.models.completion import ToolCall
from memeval.models.toolcalls import tidy

INSERT, UPDATE, DELETE = "new_memory_insert", "memory_update", "memory_delete"
QUOTED, DROPPED = "quoted", "dropped"
"""Statuses of results that follow from a call but are no calls themselves: a further line that the call quoted, and an entry
that was dropped because the memory was full."""


_SHOWN_ID = re.compile(r"\s*\[([0-9a-f]{4,8})\]\s*")

Operation = Callable[[MemoryStore, Mapping[str, Any], str], Mapping[str, Any] | None]
"""(store, arguments, id of the chunk) -> effect; None: exactly this text is already there. Raises MemoryFault."""
NOTHING: Mapping[str, Any] = MappingProxyType({})
"""The effect of an operation that succeeds although there was nothing to change."""


def schemas(
    descriptions: Mapping[str, Any], including: Collection[str] = TYPES, quote: Quote = "none"
) -> list[dict[str, Any]]:
    """The tools in OpenAI's format, for a memory that has these types; other types are not mentioned. descriptions: tool or
    `tool.parameter` -> a text, or a list of sentences, each a text or {a type or a way to quote: text}."""
    present = [kind for kind in TYPES if kind in including]
    lists = [kind for kind in present if kind != CORE]
    known = ["memory_id"] if lists else []
    needed = ["memory_type"] if CORE in present else ["memory_type", *known]
    made = []
    for name, parameters, required, kinds in (
        (INSERT, ["memory_type", "content"], ["memory_type", "content"], lists),
        (UPDATE, ["memory_type", "new_content", *known], [*needed, "new_content"], present),
        (DELETE, ["memory_type", *known], needed, present),
    ):
        if kinds:
            text = functools.partial(_description, descriptions, {*present, quote})
            enums = {"memory_type": {"enum": [f"{kind}_memory" for kind in kinds]}}
            properties = {
                each: {"type": "string", "description": text(f"{name}.{each}"), **enums.get(each, {})} for each in parameters
            }
            schema = {"type": "object", "properties": properties, "required": required}
            function = {"name": name, "description": text(name), "parameters": schema}
            made.append({"type": "function", "function": function})
    return made


def _description(descriptions: Mapping[str, Any], has: Collection[str], key: str) -> str:
    """The sentences of a description that apply. has: the memory's types, and its way to quote."""
    written = descriptions[key]
    sentences = [
        text
        for sentence in (written if isinstance(written, list) else [written])
        for only, text in (sentence.items() if isinstance(sentence, Mapping) else [("", sentence)])
        if not only or only in has
    ]
    return " ".join(map(str, sentences))


def _insert(store: MemoryStore, arguments: Mapping[str, Any], chunk: str) -> dict[str, Any] | None:
    return store.insert(_type(arguments), _content(store, arguments, "content"), chunk)


def _update(store: MemoryStore, arguments: Mapping[str, Any], chunk: str) -> dict[str, Any] | None:
    kind = _type(arguments)
    return store.update(kind, _id(arguments, kind), _content(store, arguments, "new_content"), chunk)


def _delete(store: MemoryStore, arguments: Mapping[str, Any], chunk: str) -> dict[str, Any] | None:
    kind = _type(arguments)
    return store.delete(kind, _id(arguments, kind))


OPERATIONS: Mapping[str, Operation] = {INSERT: _insert, UPDATE: _update, DELETE: _delete}
"""Name of the tool -> its operation."""


def execute(
    store: MemoryStore, call: ToolCall, chunk_id: str, operations: Mapping[str, Operation] = OPERATIONS
) -> ToolResult:
    """Execute one call of a model at one chunk. Status: `ok`, `skipped` (that text is already there) or `error`, with the
    reason in `message`; `effect` is None unless something changed. operations: ours, or those of published.py."""
    name = tidy(call.name)
    arguments = {tidy(str(key)): _plain(value) for key, value in (call.arguments or {}).items()}
    try:
        if call.arguments is None:
            raise MemoryFault(tidy(call.error or "the arguments are not a JSON object"))
        operation = operations.get(name)
        if operation is None:
            raise MemoryFault(f"unknown tool '{name[:40]}'; the tools are {', '.join(operations)}")
        effect = operation(store, call.arguments, chunk_id)
    except MemoryFault as fault:
        return ToolResult(name, arguments, "error", str(fault))
    if effect is None:
        return ToolResult(name, arguments, "skipped", "exactly this text is already there")
    if effect is NOTHING:
        return ToolResult(name, arguments, "ok", "nothing had to be changed")
    return ToolResult(name, arguments, "ok", f"{effect['op']} {effect['type']} {effect['id']}", effect)


def execute_all(
    store: MemoryStore,
    call: ToolCall,
    chunk_id: str,
    lines: ChunkLines | None = None,
    operations: Mapping[str, Operation] = OPERATIONS,
) -> list[ToolResult]:
    """`execute` a call, and return its result and those that follow from it. lines: of the chunk, where the writer may
    quote; then an insertion with the content `@...` stores each line that it names as an entry of its own. A call that names
    no line is an error."""
    arguments = call.arguments or {}
    content = arguments.get("content")
    if lines is None or call.name != INSERT or not isinstance(content, str) or not content.startswith(SIGN):
        results = [execute(store, call, chunk_id, operations)]
    else:
        try:
            texts = lines.take(tidy(content))
        except MemoryFault as fault:
            return [ToolResult(INSERT, {key: _plain(value) for key, value in arguments.items()}, "error", str(fault))]
        calls = (dataclasses.replace(call, arguments={**arguments, "content": text}) for text in texts)
        first, *others = [execute(store, each, chunk_id, operations) for each in calls]
        results = [first, *(dataclasses.replace(other, status=QUOTED) for other in others if other.effect)]
    dropped = [ToolResult(DELETE, {}, DROPPED, "the memory was full", effect) for effect in store.drop_oldest()]
    return [*results, *dropped]


def _type(arguments: Mapping[str, Any]) -> str:
    """The memory type, with or without `_memory`: models keep adding or dropping it (appendix C.1 of the paper)."""
    return _text(arguments, "memory_type").strip().removesuffix("_memory")


def _id(arguments: Mapping[str, Any], kind: str) -> str:
    """The entry's id, with or without the brackets in which it is shown. For core an id is ignored: it has none."""
    return CORE if kind == CORE else _text(arguments, "memory_id").strip().strip("[]")


def _content(store: MemoryStore, arguments: Mapping[str, Any], key: str) -> str:
    """The text, without the id of an entry before it: small models write entries as they are shown, `[id] text`. They also
    mix up the names of the argument, so where `key` is missing the other name is read."""
    given = next((name for name in (key, "content", "new_content") if name in arguments), key)
    text = _text(arguments, given)
    copied = _SHOWN_ID.match(text)
    if copied and any(store.holds(kind, copied[1]) for kind in store.including if kind != CORE):
        text = text[copied.end() :]
    if not text.strip():
        raise MemoryFault(f"'{key}' is empty" + ("; memory_delete removes" if key == "new_content" else ""))
    return text


def _text(arguments: Mapping[str, Any], key: str) -> str:
    if key not in arguments:
        raise MemoryFault(f"the argument '{key}' is missing")
    value = arguments[key]
    if not isinstance(value, str):
        raise MemoryFault(f"the argument '{key}' is {type(value).__name__}, expected a string")
    return tidy(value)


def _plain(value: Any) -> Any:
    """An argument for the log: a scalar, or the name of a type that no tool takes."""
    if isinstance(value, str):
        return tidy(value)
    return value if value is None or isinstance(value, (bool, int)) else f"<{type(value).__name__}>"
