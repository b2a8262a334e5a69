"""Writing: a chunk condensed into notes, one per subject, then stored by tool calls or in a rewritten text.

A sentence is kept when it states something: three words or more, and a number, or a name besides its subject, or a copula.
Later questions have no influence. A sentence replaces an older one about the same subject only when it states another value
of the same predicate, and neither says what happened. A note is an `Entry` whose sentences are understandable alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

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
from memeval.models.offline.tools import Tool

CHARACTERS = 4
"""Characters of a token, for every estimate of the offline model."""
FILL = 0.85
"""Share of a response limit that is filled."""
_OVERHEAD = 90  # characters of a call around its text
_SAME = 0.6  # share of the words outside values from which two sentences say the same of another value
_PAST = re.compile(r"\b(?:was|were|had|\w{3,}ed)\b")
_EVENT = re.compile(r"epis|event|exper|happen|diary|log", re.I)


def written(note: Entry) -> str:
    """One line, `[date] Subject: sentences`; the subject is left out where the first sentence opens with it."""
    stamp = f"[{note.stamp}] " if note.stamp else ""
    named = not note.subject or fold(opening(note.sentences[0])) == fold(note.subject)
    return stamp + ("" if named else f"{note.subject}: ") + " ".join(note.sentences)


def notes(chunk: str, room: int, overhead: int = 0) -> list[Entry]:
    """The notes of a chunk in its order, in at most `room` characters (`overhead` of them for each note). Where not all
    fits, every subject keeps its first sentence before any keeps its second."""
    said: dict[tuple[str, str, str], dict[str, None]] = {}
    for number, entry in enumerate(entries(chunk)):
        key = (fold(entry.subject) or f"\n{number}", entry.subject, entry.stamp)
        said.setdefault(key, {}).update(dict.fromkeys(stated(entry)))
    kept: dict[tuple[str, str, str], list[str]] = {key: [] for key in said}
    ranked = [(rank, key, text) for key, texts in said.items() for rank, text in enumerate(texts)]
    for _, key, text in sorted(ranked, key=lambda item: item[0]):
        cost = len(text) + 1 + (0 if kept[key] else overhead + len(key[1]) + len(key[2]) + 5)
        if cost <= room:
            kept[key].append(text)
            room -= cost
    return [Entry(subject, stamp, tuple(taken)) for (_, subject, stamp), taken in kept.items() if taken]


def rewritten(memory: str, chunk: str, tokens: int) -> str:
    """The memory with the chunk's notes in it, oldest first; the newest of them, in at most FILL of `tokens`."""
    left = int(FILL * tokens * CHARACTERS)
    held = [Entry(entry.subject, entry.stamp, said) for entry in entries(memory) if (said := stated(entry))]
    for note in notes(chunk, left):
        old, new = next(((old, new) for old in held if (new := updated(old, note))), (None, note))
        held = [each for each in held if each not in (old, new)] + [new]
    lines: list[str] = []
    for note in reversed(held):
        line = written(note)
        if len(line) >= left:
            break
        lines.append(line)
        left -= len(line) + 1
    return "\n".join(reversed(lines))


def updated(old: Entry, new: Entry) -> Entry | None:
    """`old` without the sentences of which `new` states a later value, and with `new`; None where nothing is replaced."""
    if not old.subject or fold(old.subject) != fold(new.subject):
        return None
    kept = [text for text in old.sentences if not any(_replaces(old, text, new, said) for said in new.sentences)]
    if len(kept) == len(old.sentences):
        return None
    return Entry(new.subject, new.stamp or old.stamp, tuple(dict.fromkeys((*kept, *new.sentences))), old.ident)


def _replaces(old: Entry, before: str, new: Entry, after: str) -> bool:
    if before == after or _PAST.search(before + after):
        return False
    value, other = _value(before), _value(after)
    said, says = stems(before) - value, stems(after) - other
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


def calls(chunk: str, memory: str, tools: Iterable[Tool], tokens: int) -> list[ToolCall]:
    """The calls that write a chunk's notes, in at most FILL of `tokens`. An entry in view is changed, once, when a note
    states a later value of what it says; what is in view already is not written again."""
    writers = [tool for tool in tools if tool.writes]
    creators = [tool for tool in writers if not tool.takes_id]
    if not creators:
        return []
    creator = max(creators, key=lambda tool: bool(tool.choices))
    changer = next((tool for tool in writers if tool.takes_id), None)
    held = _held(memory, changer.choices if changer else ())
    known = {text for _, entry in held for text in entry.sentences}
    made: list[ToolCall] = []
    left = int(FILL * tokens * CHARACTERS)
    for note in notes(chunk, left, _OVERHEAD):
        if known.issuperset(note.sentences):
            continue
        kind, changed = next(((kind, new) for kind, old in reversed(held) if (new := updated(old, note))), ("", None))
        tool, entry = (changer, changed) if changer and changed else (creator, note)
        held = [item for item in held if item[1].ident != entry.ident]
        call = tool.call(
            len(made),
            text=written(entry),
            ident=entry.ident,
            subject=entry.subject or entry.sentences[0][:60],
            time=entry.stamp,
            choice=kind if tool is changer and kind else _choice(entry, tool.choices),
        )
        left -= len(call.name) + len(call.raw) + 20
        if left < 0:
            break
        made.append(call)
    return made


def _held(memory: str, choices: tuple[str, ...]) -> list[tuple[str, Entry]]:
    """(entry type, entry) of the lines `[id] text` of a memory; the type is the choice named by the line above."""
    found: list[tuple[str, Entry]] = []
    kind = ""
    for line in memory.splitlines():
        entry = next(entries(line), None)
        if entry and entry.ident:
            found.append((kind, entry))
        elif line.strip():
            named = set(words(line.replace("_", " ")))
            kind = next((value for value in choices if named.issuperset(words(value.replace("_", " "))[:1])), kind)
    return found


def _choice(note: Entry, choices: tuple[str, ...]) -> str:
    """The entry type for a note: one named for events for what happened at a stated time, else the first other."""
    happened = bool(note.stamp) or all(dates(text) and _PAST.search(text) for text in note.sentences)
    events = [value for value in choices if _EVENT.search(value)]
    others = [value for value in choices if value not in events]
    return next(iter((events or others) if happened else (others or events)), "")
