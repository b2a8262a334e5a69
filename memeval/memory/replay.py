"""Rebuild a memory from its recorded operations (a run's operations.jsonl), as it was at any position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from memeval.agent import Item
from memeval.errors import UsageError

Effect = Mapping[str, Any]


def replayed_items(effects: Iterable[Effect | None]) -> list[Item]:
    """All items that a memory held after these effects, as in `MemoryStats.entries`. Raises UsageError like `replayed`."""
    return [item for items in replayed(effects).values() for item in items.values()]


def replayed(effects: Iterable[Effect | None]) -> dict[str, dict[str, Item]]:
    """type -> id -> entry after these effects (`ToolResult.effect`, in order); empty types are left out. Raises UsageError,
    with the number of the effect, for one that cannot be read."""
    contents: dict[str, dict[str, Item]] = {}
    for number, effect in enumerate(effects, start=1):
        if effect is None:
            continue
        try:
            entries, name = contents.setdefault(effect["type"], {}), effect["id"]
            if effect["op"] == "put":
                entries[name] = Item(str(effect["text"]), tuple(effect.get("chunks") or ()), name, kind=str(effect["type"]))
            elif effect["op"] == "delete":
                entries.pop(name, None)
            else:
                raise KeyError("op")
        except (KeyError, TypeError, IndexError) as error:
            raise UsageError(
                f"operation {number}: its effect cannot be replayed ({error}); the run's operations.jsonl is damaged, "
                "run again with --fresh"
            ) from None
    return {kind: entries for kind, entries in contents.items() if entries}
