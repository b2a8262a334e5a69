"""Writing: a chunk condensed into notes, one per subject, then stored by tool calls or in a rewritten text.

A sentence is kept when it states something: three words or more, and a number, or a name besides its subject, or a copula.
Later questions have no influence. A sentence replaces an older one about the same subject only when it states another value
of the same predicate and says that something changed. Which tool writes is read off its JSON schema: a function that takes
a free text and no id creates an entry, one that takes an id as well changes an entry, one that takes a query writes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from memeval.models.completion import ToolCall
from memeval.models.offline.text import (
    COPULA,
    Entry,
    date_of,
    dates,
    entries,
    fold,
    names,
    numbers,
    opening,
    self_contained,
    stems,
    words,
)

CHARACTERS = 4
"""Characters of a token, for every estimate of the offline model."""
FILL = 0.85
"""Share of a response limit that is filled."""
_OVERHEAD = 90  # characters of a call around its text
_SAME = 0.6  # share of the words outside values from which two sentences say the same of another value
_CHANGE = re.compile(r"\b(?:now|currently|since|became|moved|no longer|new|newly|changed|replaced|instead)\b", re.I)
_PAST = re.compile(r"\b(?:was|were|had|\w{3,}ed)\b")
_SLOTS = {
    "ident": re.compile(r"(?:^|_)(?:id|ids|uuid|identifier|index)$|[a-z]Id$"),
    "query": re.compile(r"query|question|search|keyword", re.I),
    "subject": re.compile(r"(?:^|_)(?:title|name|subject|topic|key|entity|person)$", re.I),
    "time": re.compile(r"time|date", re.I),
}
"""What a parameter holds, by its name; any other text is the note's."""
_EMPTY = {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
_EVENT = re.compile(r"epis|event|exper|happen|diary|log", re.I)
_STANDING = re.compile(r"core|profile|persona|summar|system", re.I)


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be remembered of one subject. Pronouns that open a sentence are replaced by the subject."""

    subject: str
    stamp: str
    sentences: tuple[str, ...]

    def text(self) -> str:
        """One line, `[date] Subject: sentences`; the subject is left out where the first sentence opens with it."""
        stamp = f"[{self.stamp}] " if self.stamp else ""
        named = not self.subject or fold(opening(self.sentences[0])) == fold(self.subject)
        return stamp + ("" if named else f"{self.subject}: ") + " ".join(self.sentences)

    def event(self) -> bool:
        """Whether it says what happened at a stated time, rather than how something is."""
        return bool(self.stamp) or all(dates(text) and _PAST.search(text) for text in self.sentences)


def notes(chunk: str, room: int, overhead: int = 0) -> list[Note]:
    """The notes of a chunk in its order, in at most `room` characters (`overhead` of them for each note). Where not all
    fits, every subject keeps its first sentence before any keeps its second."""
    said: dict[tuple[str, str, str], dict[str, None]] = {}
    for number, entry in enumerate(entries(chunk)):
        key = (fold(entry.subject) or f"\n{number}", entry.subject, entry.stamp)
        said.setdefault(key, {}).update(dict.fromkeys(stated(entry)))
    kept: dict[tuple[str, str, str], list[str]] = {key: [] for key in said}
    for rank in range(max(map(len, said.values()), default=0)):
        for key, sentences in said.items():
            if rank < len(sentences):
                sentence = list(sentences)[rank]
                cost = len(sentence) + 1 + (0 if kept[key] else overhead + len(key[1]) + len(key[2]) + 5)
                if cost <= room:
                    kept[key].append(sentence)
                    room -= cost
    return [Note(subject, stamp, tuple(taken)) for (_, subject, stamp), taken in kept.items() if taken]


def rewritten(memory: str, chunk: str, tokens: int) -> str:
    """The memory with the chunk's notes in it, oldest first; the newest of them, in at most FILL of `tokens`."""
    left = int(FILL * tokens * CHARACTERS)
    held = [Note(entry.subject, entry.stamp, said) for entry in entries(memory) if (said := stated(entry))]
    for note in notes(chunk, left):
        old, new = next(((old, new) for old in held if (new := updated(old, note))), (None, note))
        held = [each for each in held if each not in (old, new)] + [new]
    lines: list[str] = []
    for note in reversed(held):
        line = note.text()
        if len(line) >= left:
            break
        lines.append(line)
        left -= len(line) + 1
    return "\n".join(reversed(lines))


def updated(old: Note, new: Note) -> Note | None:
    """`old` without the sentences of which `new` states a later value, and with `new`; None where nothing is replaced."""
    if not old.subject or fold(old.subject) != fold(new.subject):
        return None
    kept = [text for text in old.sentences if not any(_replaces(old, text, new, said) for said in new.sentences)]
    if len(kept) == len(old.sentences):
        return None
    return Note(new.subject, new.stamp or old.stamp, tuple(dict.fromkeys((*kept, *new.sentences))))


def _replaces(old: Note, before: str, new: Note, after: str) -> bool:
    if before == after or not (_CHANGE.search(after) or not _PAST.search(before + after)):
        return False
    value, other = _value(before), _value(after)
    said, says = stems(before) - value, stems(after) - other - stems(" ".join(_CHANGE.findall(after)))
    then, now = date_of(old.stamp, before), date_of(new.stamp, after)
    return value != other and 0 < _SAME * len(said | says) <= len(said & says) and (not then or not now or now >= then)


def _value(text: str) -> frozenset[str]:
    """The stems of the names, dates and numbers of a sentence."""
    return stems(" ".join(span.text for span in (*names(text), *dates(text), *numbers(text))))


@lru_cache(maxsize=1 << 14)
def stated(entry: Entry) -> tuple[str, ...]:
    """The sentences of an entry that state something, each understandable alone."""
    return tuple(dict.fromkeys(self_contained(text, entry) for text in entry.sentences if _states(text, entry)))


def _states(text: str, entry: Entry) -> bool:
    tokens = words(text)
    if len(tokens) < 3 or text.endswith("?"):
        return False
    if numbers(text) or dates(text) or (entry.spoken and tokens[0] in ("i", "my", "we", "our")):
        return True
    sentence = self_contained(text, entry)
    subject = set(words(entry.subject))
    others = any(not set(words(span.text)) <= subject for span in names(sentence))
    return others or (bool(COPULA.search(text)) and len(tokens) > 4 and bool(opening(sentence)))


@dataclass(frozen=True, slots=True)
class Form:
    """How to fill in one function. slots: parameter -> what it holds (_SLOTS, choice, text). values: of the choice.
    fixed: parameter -> the value that it always gets."""

    name: str
    slots: dict[str, str]
    values: tuple[str, ...]
    fixed: dict[str, Any]

    def call(self, number: int, note: Note, ident: str = "", kind: str = "") -> ToolCall:
        filled = {"choice": kind or self.kind(note), "ident": ident, "time": note.stamp, "text": note.text()}
        filled["subject"] = note.subject or note.sentences[0][:60]
        arguments = self.fixed | {parameter: filled[what] for parameter, what in self.slots.items()}
        return ToolCall(self.name, arguments, json.dumps(arguments, ensure_ascii=False), id=f"call_{number}")

    def kind(self, note: Note) -> str:
        """The entry type for a note: one named for events for what happened at a stated time, else the first other."""
        events = [value for value in self.values if _EVENT.search(value)]
        others = [value for value in self.values if value not in events]
        plain = [value for value in others if not _STANDING.search(value)] or others
        return next(iter(events if events and (note.event() or not plain) else plain), "")


def calls(chunk: str, memory: str, tools: Iterable[Any], tokens: int) -> list[ToolCall]:
    """The calls that write a chunk's notes, in at most FILL of `tokens`. An entry in view is changed, once, when a note
    states a later value of what it says; what is in view already is not written again."""
    forms = [form for tool in tools if (form := _form(tool))]
    creators = [form for form in forms if "ident" not in form.slots.values()]
    if not creators:
        return []
    creator = max(creators, key=lambda form: bool(form.values))
    changer = next((form for form in forms if "ident" in form.slots.values()), None)
    held = _held(memory, changer.values if changer else ())
    known = {text for _, _, note in held for text in note.sentences}
    made: list[ToolCall] = []
    left = int(FILL * tokens * CHARACTERS)
    for note in notes(chunk, left, _OVERHEAD):
        if known.issuperset(note.sentences):
            continue
        match = next(((item, new) for item in reversed(held) if (new := updated(item[2], note))), None)
        if changer and match:
            (ident, kind, _), merged = match
            call = changer.call(len(made), merged, ident, kind)
            held = [item for item in held if item[0] != ident]
        else:
            call = creator.call(len(made), note)
        left -= len(call.name) + len(call.raw) + 20
        if left < 0:
            break
        made.append(call)
    return made


def _held(memory: str, values: tuple[str, ...]) -> list[tuple[str, str, Note]]:
    """(id, entry type, note) of the lines `[id] text` of a memory; the type is the enum value named by the line above."""
    found: list[tuple[str, str, Note]] = []
    kind = ""
    for line in memory.splitlines():
        entry = next(entries(line), None)
        if entry and entry.ident:
            found.append((entry.ident, kind, Note(entry.subject, entry.stamp, entry.sentences)))
        elif line.strip():
            named = set(words(line.replace("_", " ")))
            kind = next((value for value in values if named.issuperset(words(value.replace("_", " "))[:1])), kind)
    return found


def _form(tool: Any) -> Form | None:
    """A function that writes text; None for any other, and for a schema that cannot be read."""
    slots: dict[str, str] = {}
    fixed: dict[str, Any] = {}
    values: tuple[str, ...] = ()
    try:
        function = tool.get("function", tool)
        schema = function["parameters"]
        for name, kind in schema["properties"].items():
            what = _slot(name, kind)
            if what == "choice":
                values = tuple(map(str, kind["enum"]))
            if what == "ident" or (what and name in schema.get("required", ())):
                slots[name] = what
            elif name in schema.get("required", ()):
                fixed[name] = _EMPTY.get(kind["type"])
        text = next((name for what in ("text", "subject") for name in slots if slots[name] == what), None)
        if text is None or "query" in slots.values():
            return None
        return Form(str(function["name"]), {**slots, text: "text"}, values, fixed)
    except (AttributeError, KeyError, TypeError):  # no JSON schema of a function
        return None


def takes_query(tool: Any) -> tuple[str, str] | None:
    """(name of a function that needs a query and nothing else, its parameter); None for any other."""
    try:
        function = tool.get("function", tool)
        schema = function["parameters"]
        needed = {name: _slot(name, schema["properties"][name]) for name in schema.get("required", ())}
        return (str(function["name"]), *needed) if list(needed.values()) == ["query"] else None
    except (AttributeError, KeyError, TypeError):  # no JSON schema of a function
        return None


def _slot(name: str, kind: dict[str, Any]) -> str:
    """What a parameter holds; "" for one that is no text."""
    if kind.get("enum"):
        return "choice"
    if kind.get("type", "string") != "string":
        return ""
    return next((what for what, pattern in _SLOTS.items() if pattern.search(name)), "text")
