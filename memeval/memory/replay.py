"""A memory rebuilt from its recorded operations: what a run's operations.jsonl says it held at any position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from memeval.errors import UsageError


def replay(effects: Iterable[Mapping[str, Any] | None]) -> dict[str, dict[str, str]]:
    """type -> id -> text after these effects (`ToolResult.effect`, in order); types that hold nothing are left out. Equals
    `MemoryStore.contents()` after the same operations.

    Raises UsageError, with the number of the effect, for one that cannot be read.
    """
    contents: dict[str, dict[str, str]] = {}
    for number, effect in enumerate(effects, start=1):
        if effect is None:
            continue
        try:
            entries = contents.setdefault(effect["type"], {})
            if effect["op"] == "put":
                entries[effect["id"]] = effect["text"]
            elif effect["op"] == "delete":
                entries.pop(effect["id"], None)
            else:
                raise KeyError("op")
        except (KeyError, TypeError, IndexError) as error:
            raise UsageError(
                f"operation {number}: its effect cannot be replayed ({error}); the run's operations.jsonl is damaged, "
                "run again with --fresh"
            ) from None
    return {kind: entries for kind, entries in contents.items() if entries}
