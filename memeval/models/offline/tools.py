"""Understand a tool from its JSON schema alone: a function that takes a free text and no id creates an entry, one that
also takes an id changes an entry, one that takes a query searches and writes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from memeval.models.completion import ToolCall

_SLOTS = {
    "ident": re.compile(r"(?:^|_)(?:id|ids|uuid|identifier|index)$|[a-z]Id$"),
    "query": re.compile(r"query|question|search|keyword", re.I),
    "subject": re.compile(r"(?:^|_)(?:title|name|subject|topic|key|entity|person)$", re.I),
    "time": re.compile(r"time|date", re.I),
}
"""The content of a text parameter, by its name; any other parameter takes the text itself."""
_EMPTY: Mapping[str, Any] = {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
"""JSON type -> the value for a parameter of that type."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One function. slots: parameter -> its content (from _SLOTS, choice, text, or a JSON type other than text), for
    required parameters and an id. choices: the values of `choice`."""

    name: str
    slots: Mapping[str, str]
    choices: tuple[str, ...]

    @property
    def writes(self) -> bool:
        return "text" in self.slots.values() and "query" not in self.slots.values()

    @property
    def takes_id(self) -> bool:
        return "ident" in self.slots.values()

    @property
    def searches(self) -> bool:
        """Whether it needs a query and nothing else."""
        return list(self.slots.values()) == ["query"]

    def call(self, number: int, **held: str) -> ToolCall:
        """Create a call. held: the content of each slot, by name."""
        arguments = {parameter: {**_EMPTY, **held}.get(slot) for parameter, slot in self.slots.items()}
        return ToolCall(self.name, arguments, json.dumps(arguments, ensure_ascii=False), id=f"call_{number}")


def read_tools(tools: Iterable[Any]) -> list[Tool]:
    """The functions among the tools; anything that is not a JSON schema of a function is left out."""
    found = []
    for tool in tools:
        try:
            function = tool.get("function", tool)
            properties, required = function["parameters"]["properties"], function["parameters"].get("required", ())
            slots = {name: _slot(name, kind) for name, kind in properties.items()}
            slots = {name: slot for name, slot in slots.items() if name in required or slot == "ident"}
            choices = (properties[name]["enum"] for name, slot in slots.items() if slot == "choice")
            found.append(Tool(str(function["name"]), slots, tuple(map(str, next(choices, ())))))
        except (AttributeError, KeyError, TypeError):
            continue
    return found


def _slot(name: str, kind: Mapping[str, Any]) -> str:
    if kind.get("enum"):
        return "choice"
    if kind.get("type", "string") != "string":
        return str(kind["type"])
    return next((what for what, pattern in _SLOTS.items() if pattern.search(name)), "text")
