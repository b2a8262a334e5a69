"""Check what an agent returns or passes to its session.

Each function returns its argument, or raises TypeError with one line that names the field. A wrong value found here
fails one context; found later, it would end the whole run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from memeval.agent import Answer, Item, MemoryStats, Recall, ToolResult
from memeval.memory.entries import Entries

_as_json = json.JSONEncoder().encode


def recall(value: Any) -> Recall:
    """Check a Recall. None is refused too, because a method that forgets to return gives None; an empty recall is
    `Recall()`."""
    _is(Recall, value, "recall returned", "memeval.Recall")
    if value.order not in ("rank", "stream"):
        raise TypeError(f"recall returned order {value.order!r}, expected 'rank' or 'stream'")
    _items("recall returned items", value.items)
    return value  # type: ignore[no-any-return]


def answer(value: Any) -> str:
    """Check an Answer or its text; return the text."""
    text = value.text if isinstance(value, Answer) else value
    _is(str, text, "answer returned", "memeval.Answer or str")
    return text


def memory(value: Any) -> MemoryStats:
    _is(MemoryStats, value, "memory returned", "memeval.MemoryStats")
    _is(Mapping, value.tokens, "memory returned tokens as", "a mapping")
    if value.entries is not None and not isinstance(value.entries, Entries):  # those are built on demand
        entries(value.entries)
    for kind, count in value.tokens.items():
        if not isinstance(kind, str) or not isinstance(count, Integral) or count < 0:
            raise TypeError(f"memory returned tokens[{kind!r}] = {count!r}, expected a whole number, 0 or more, by name")
    return MemoryStats({kind: int(count) for kind, count in value.tokens.items()}, value.entries)  # int: numpy has its own


def entries(value: Any) -> Sequence[Item]:
    """Check the entries of a memory."""
    _items("memory returned entries", value)
    return value  # type: ignore[no-any-return]


def event(value: Any) -> ToolResult:
    """Check the argument of `session.record`."""
    _is(ToolResult, value, "record was given", "memeval.ToolResult")
    for field, content in (("arguments", value.arguments), ("effect", value.effect)):
        if content is None and field == "effect":
            continue
        _is(Mapping, content, f"record was given a ToolResult with {field}", "a mapping")
        try:
            _as_json(dict(content))
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"record was given a ToolResult whose {field} cannot be written as JSON ({error})") from None
    return value  # type: ignore[no-any-return]


def spent(tokens: Any, usd: Any, role: Any) -> tuple[int, float | None, str]:
    """Check the arguments of `session.spend`: whole tokens, USD or None, and a name."""
    if not isinstance(tokens, Integral) or tokens < 0:
        raise TypeError(f"spend was given tokens={tokens!r:.60}, expected a whole number, 0 or more")
    if not isinstance(role, str) or not role:
        raise TypeError(f"spend was given role={role!r:.60}, expected a name")
    if usd is not None and not (isinstance(usd, Real) and 0 <= float(usd) < math.inf):
        raise TypeError(f"spend was given usd={usd!r:.60}, expected USD, 0 or more, or None where it is unknown")
    return int(tokens), None if usd is None else float(usd), role


def _is(kind: type | tuple[type, ...], value: object, given: str, expected: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{given} {type(value).__name__}, expected {expected}")


def _items(given: str, value: Any) -> None:
    _is((list, tuple), value, f"{given} as", "a list")
    for number, item in enumerate(value):
        place = f"{given}[{number}]"
        _is(Item, item, f"{place} as", "memeval.Item")
        _is(str, item.text, f"{place}.text as", "a string")
        if not isinstance(item.chunks, (tuple, list)) or not all(isinstance(chunk, str) for chunk in item.chunks):
            raise TypeError(f"{place}.chunks as {item.chunks!r:.60}, expected a tuple of chunk ids")
        for name, value in (("id", item.id), ("kind", item.kind)):
            if value is not None:
                _is(str, value, f"{place}.{name} as", "a string")
        if item.score is not None and not _finite(item.score):
            raise TypeError(f"{place}.score as {item.score!r:.60}, expected a number")


def _finite(score: Any) -> bool:
    try:
        return math.isfinite(score)
    except (TypeError, ValueError, OverflowError):
        return False
