"""What an agent hands over, checked before anything of the run rests on it.

Each function returns what it was given, or raises TypeError with one line that names the field. Found here, a wrong
value fails one context; found later, it would end the whole run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from memeval.agent import Answer, Item, MemoryStats, Recall, ToolResult
from memeval.memory.entries import Entries

_as_json = json.JSONEncoder().encode


def recall(value: Any) -> Recall:
    """None stands for nothing recalled."""
    if value is None:
        return Recall()
    if not isinstance(value, Recall):
        raise TypeError(f"recall returned {_name(value)}, expected memeval.Recall")
    if value.order not in ("rank", "stream"):
        raise TypeError(f"recall returned order {value.order!r}, expected 'rank' or 'stream'")
    _items("recall", "items", value.items)
    return value


def answer(value: Any) -> str:
    """An Answer or its text."""
    text = value.text if isinstance(value, Answer) else value
    if not isinstance(text, str):
        raise TypeError(f"answer returned {_name(text)}, expected memeval.Answer or str")
    return text


def memory(value: Any) -> MemoryStats:
    if not isinstance(value, MemoryStats):
        raise TypeError(f"memory returned {_name(value)}, expected memeval.MemoryStats")
    if not isinstance(value.tokens, Mapping):
        raise TypeError(f"memory returned tokens as {_name(value.tokens)}, expected a mapping")
    if value.entries is not None and not isinstance(
        value.entries, Entries
    ):  # those are made when read
        _items("memory", "entries", value.entries)
    counts: Mapping[Any, Any] = value.tokens
    if all(type(kind) is str and type(count) is int and count >= 0 for kind, count in counts.items()):
        return value
    for kind, count in counts.items():
        if not isinstance(kind, str) or not isinstance(count, Integral) or count < 0:
            raise TypeError(f"memory returned tokens[{kind!r}] = {count!r}, expected a whole number, 0 or more, by name")
    return MemoryStats({kind: int(count) for kind, count in counts.items()}, value.entries)  # numpy's, say


def event(value: Any) -> ToolResult:
    """What `session.record` takes."""
    if not isinstance(value, ToolResult):
        raise TypeError(f"record was given {_name(value)}, expected memeval.ToolResult")
    for field in ("arguments", "effect"):
        content = getattr(value, field)
        if content is None and field == "effect":
            continue
        if not isinstance(content, Mapping):
            raise TypeError(f"record was given a ToolResult with {field} {_name(content)}, expected a mapping")
        try:
            _as_json(dict(content))
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"record was given a ToolResult whose {field} cannot be written as JSON ({error})") from None
    return value


def spent(tokens: Any, usd: Any, role: Any) -> tuple[int, float | None, str]:
    """What `session.spend` takes: whole tokens, USD or None, and a name."""
    if not isinstance(tokens, Integral) or tokens < 0:
        raise TypeError(f"spend was given tokens={tokens!r:.60}, expected a whole number, 0 or more")
    if not isinstance(role, str) or not role:
        raise TypeError(f"spend was given role={role!r:.60}, expected a name")
    if usd is not None and not (isinstance(usd, Real) and 0 <= float(usd) < math.inf):
        raise TypeError(f"spend was given usd={usd!r:.60}, expected USD, 0 or more, or None where it is unknown")
    return int(tokens), None if usd is None else float(usd), role


def _items(method: str, field: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{method} returned {field} as {_name(value)}, expected a list")
    for number, item in enumerate(value):
        if not isinstance(item, Item):
            raise TypeError(f"{method} returned {field}[{number}] as {_name(item)}, expected memeval.Item")
        wrong = _wrong(item)
        if wrong:
            raise TypeError(f"{method} returned {field}[{number}].{wrong}")


def _wrong(item: Any) -> str:
    """The first field of an item that is of the wrong type; empty where none is."""
    if not isinstance(item.text, str):
        return f"text as {_name(item.text)}, expected a string"
    if not isinstance(item.chunks, (tuple, list)) or not all(isinstance(chunk, str) for chunk in item.chunks):
        return f"chunks as {item.chunks!r:.60}, expected a tuple of chunk ids"
    if not isinstance(item.id, (str, type(None))):
        return f"id as {_name(item.id)}, expected a string"
    try:
        known = item.score is None or math.isfinite(item.score)
    except (TypeError, ValueError, OverflowError):
        known = False
    return "" if known else f"score as {item.score!r:.60}, expected a number"


def _name(value: object) -> str:
    return type(value).__name__
