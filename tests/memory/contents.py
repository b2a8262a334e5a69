"""What a memory holds, in a form that is easily compared."""

from __future__ import annotations

from collections.abc import Iterable

from memeval.agent import Item


def contents(items: Iterable[Item]) -> dict[str, dict[str, str]]:
    """type -> id -> text, in order."""
    found: dict[str, dict[str, str]] = {}
    for item in items:
        found.setdefault(str(item.kind), {})[str(item.id)] = item.text
    return found
