"""Which tool writes a memory entry, decided by its JSON schema alone.

A function that takes a free text and no id creates an entry; one that takes an id as well changes an entry. Functions that
take a query, or no text, write nothing. Of an enum of entry types one is chosen by what its values' names suggest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memeval.models.completion import ToolCall
from memeval.models.offline.documents import documents
from memeval.models.offline.words import words
from memeval.models.offline.writing import CHARACTERS, Note, condensed, told, updated

_IDENT = re.compile(r"(?:^|_)(?:id|ids|uuid|identifier|index)$|[a-z]Id$")
_QUERY = re.compile(r"query|question|search|keyword", re.IGNORECASE)
_SUBJECT = re.compile(r"(?:^|_)(?:title|name|subject|topic|key|entity|person)$", re.IGNORECASE)
_TIME = re.compile(r"time|date", re.IGNORECASE)
_EVENT = re.compile(r"epis|event|exper|happen|diary|log", re.IGNORECASE)
_STANDING = re.compile(r"core|profile|persona|summar|system", re.IGNORECASE)
_OVERHEAD = 80  # characters of a call around its text
_EMPTY: Mapping[str, Any] = {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}, "string": ""}


@dataclass(frozen=True, slots=True)
class Form:
    """How to fill in one function: names of its parameters by what they hold; `fixed`: values of other required ones."""

    name: str
    text: str
    ident: str | None = None
    choice: str | None = None
    values: tuple[str, ...] = ()
    subject: str | None = None
    time: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def call(self, number: int, note: Note, ident: str | None = None, kind: str | None = None) -> ToolCall:
        arguments: dict[str, Any] = dict(self.fixed)
        if self.choice:
            arguments[self.choice] = kind or self.kind(note)
        if self.ident and ident is not None:
            arguments[self.ident] = ident
        if self.subject:
            arguments[self.subject] = note.subject or note.sentences[0][:60]
        if self.time:
            arguments[self.time] = note.stamp
        arguments[self.text] = note.text()
        return ToolCall(self.name, arguments, json.dumps(arguments, ensure_ascii=False), id=f"call_{number}")

    def kind(self, note: Note) -> str:
        """The entry type for a note: one that suggests events for what happened at a stated time, else the first other."""
        events = [value for value in self.values if _EVENT.search(value)]
        others = [value for value in self.values if value not in events]
        plain = [value for value in others if not _STANDING.search(value)] or others
        return (events or plain)[0] if note.event or not plain else plain[0]


@dataclass(frozen=True, slots=True)
class Held:
    """An entry of the memory in view that has an id."""

    ident: str
    kind: str | None
    notes: tuple[Note, ...]


def calls(chunk: str, memory: str, tools: Iterable[Any], tokens: int) -> list[ToolCall]:
    """The calls that write a chunk's notes: at most 85 % of `tokens` long together (4 characters each). An entry in view is
    changed when a note states a later value of what it says; what is in view already is not written again."""
    forms = [form for tool in tools if (form := _form(tool))]
    creators = sorted((form for form in forms if not form.ident), key=lambda form: form.choice is None)
    if not creators:
        return []
    creator = creators[0]
    changer = next((form for form in forms if form.ident), None)
    held = _held(memory, changer.values if changer else creator.values)
    known = told(note for entry in held for note in entry.notes)
    made: list[ToolCall] = []
    left = int(0.85 * tokens * CHARACTERS)
    changed: set[str] = set()
    for note in condensed(chunk, left, _OVERHEAD + len(creator.name)):
        if all(sentence in known for sentence in note.sentences):
            continue
        call = _change(len(made), note, held, changer, changed) or creator.call(len(made), note)
        cost = len(call.name) + len(call.raw) + 20
        if cost > left:
            break
        left -= cost
        made.append(call)
    return made


def _change(number: int, note: Note, held: Sequence[Held], changer: Form | None, changed: set[str]) -> ToolCall | None:
    if changer is None:
        return None
    for entry in reversed(held):
        for old in entry.notes:
            merged = updated(old, note)
            if merged is not None and entry.ident not in changed:
                changed.add(entry.ident)
                kind = entry.kind if entry.kind in changer.values else None
                return changer.call(number, merged, entry.ident, kind)
    return None


def _held(memory: str, values: Sequence[str]) -> list[Held]:
    """The lines `[id] text` of a memory. An entry's type is the enum value that the nearest line above it names."""
    found: list[Held] = []
    kind: str | None = None
    for line in memory.splitlines():
        entry = documents(line)
        if not entry or not entry[0].ident:
            named = set(words(line.replace("_", " ")))
            kind = next((value for value in values if (parts := words(value.replace("_", " "))) and parts[0] in named), kind)
            continue
        found.append(Held(entry[0].ident, kind, tuple(Note(d.subject, d.stamp, d.sentences) for d in entry)))
    return found


def _form(tool: Any) -> Form | None:
    """A function that writes text; None for any other, and for a schema that cannot be read."""
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    schema = function.get("parameters") if isinstance(function, Mapping) else None
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(schema, Mapping) or not isinstance(properties, Mapping):
        return None
    name = function.get("name")
    needed = schema.get("required")
    required = set(needed) if isinstance(needed, list) and all(isinstance(item, str) for item in needed) else set()
    texts: list[str] = []
    slots: dict[str, str] = {}
    fixed: dict[str, Any] = {}
    values: tuple[str, ...] = ()
    for parameter, kind in properties.items():
        if not isinstance(parameter, str) or not isinstance(kind, Mapping):
            continue
        enum = kind.get("enum")
        if isinstance(enum, list) and enum and all(isinstance(value, str) for value in enum):
            if not values:
                slots["choice"], values = parameter, tuple(enum)
            elif parameter in required:
                fixed[parameter] = enum[0]
        elif _IDENT.search(parameter):
            slots.setdefault("ident", parameter)
        elif kind.get("type", "string") != "string":
            if parameter in required:
                fixed[parameter] = _EMPTY.get(str(kind.get("type")))
        elif parameter not in required:
            continue
        elif _QUERY.search(parameter):
            return None
        elif _SUBJECT.search(parameter) and "subject" not in slots:
            slots["subject"] = parameter
        elif _TIME.search(parameter) and "time" not in slots:
            slots["time"] = parameter
        else:
            texts.append(parameter)
    if not texts and "subject" in slots:
        texts.append(slots.pop("subject"))
    if not isinstance(name, str) or not texts:
        return None
    fixed |= dict.fromkeys(texts[1:], "")
    return Form(
        name, texts[0], slots.get("ident"), slots.get("choice"), values, slots.get("subject"), slots.get("time"), fixed
    )
