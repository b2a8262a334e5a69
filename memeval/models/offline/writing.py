"""Write: condense the lines of a chunk into notes, which are stored by tool calls or in a rewritten text.

A sentence is kept if it states something: four words or more, not a question, and with a number, a date, a name besides
its subject, or the first person. Later questions have no influence. A note replaces an older sentence about the same
subject only if it states another value of the same thing, and neither describes an event.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from memeval.models.completion import ToolCall
from memeval.models.offline.text import Entry, dates, entries, names, numbers, stems, words
from memeval.models.offline.tools import Tool

_FIRST_PERSON = frozenset(("i", "my", "we", "our"))
_PAST = re.compile(r"\b(?:was|were|had|\w{3,}ed)\b")
_EVENT = re.compile(r"epis|event|exper|happen|diary|log", re.I)


def notes(text: str) -> Iterator[Entry]:
    """The entries of a text with the sentences that state something."""
    for entry in entries(text):
        if said := tuple(sentence for sentence in entry.sentences if _states(sentence, entry.subject)):
            yield dataclasses.replace(entry, sentences=said)


def _states(sentence: str, subject: str) -> bool:
    said = words(sentence)
    if len(said) < 4 or sentence.endswith("?"):
        return False
    others = [name for name in names(sentence) if not stems(name.text) <= stems(subject)]
    return bool(others or numbers(sentence) or dates(sentence) or _FIRST_PERSON.intersection(said))


def written(note: Entry) -> str:
    """One line, `[date] Subject: sentences`; the subject is left out if the first sentence starts with it."""
    stamp = f"[{note.stamp}] " if note.stamp else ""
    return stamp + note.named(" ".join(note.sentences))


def changed(held: Sequence[Entry], note: Entry) -> tuple[Entry, Entry] | None:
    """(old, new) if `note` states another value of something in an entry: `new` is `old` without those sentences, plus
    those of the note."""
    for old in held:
        if old.subject.lower() == note.subject.lower():
            topics = {_topic(sentence) for sentence in note.sentences} - {None}
            kept = tuple(sentence for sentence in old.sentences if _topic(sentence) not in topics)
            if kept != old.sentences:
                return old, Entry(note.subject, note.stamp or old.stamp, (*kept, *note.sentences), old.ident)
    return None


def _topic(sentence: str) -> frozenset[str] | None:
    """The stems of a sentence outside names, dates and numbers; None if it describes an event."""
    values = (*names(sentence), *dates(sentence), *numbers(sentence))
    return None if _PAST.search(sentence) else stems(sentence) - stems(" ".join(span.text for span in values))


def rewritten(memory: str, chunk: str, room: int) -> str:
    """The memory with the notes of a chunk, oldest first: the newest that fit in `room` characters."""
    held = list(notes(memory))
    for note in notes(chunk):
        old, new = changed(held, note) or (note, note)
        held = [each for each in held if each != old] + [new]
    lines: list[str] = []
    for note in reversed(held):
        line = written(note)
        room -= len(line) + 1
        if room < 0:
            break
        lines.insert(0, line)
    return "\n".join(lines)


def calls(chunk: str, memory: str, tools: Sequence[Tool], room: int) -> list[ToolCall]:
    """The calls that write the notes of a chunk, in at most `room` characters. An entry in view is changed, once, if a
    note states another value of it; entries in view are not written again."""
    creator = next((tool for tool in tools if tool.writes and not tool.takes_id), None)
    changer = next((tool for tool in tools if tool.writes and tool.takes_id), None)
    if creator is None:
        return []
    held = [entry for entry in entries(memory) if entry.ident]
    known = {sentence for entry in held for sentence in entry.sentences}
    made: list[ToolCall] = []
    for note in notes(chunk):
        if known.issuperset(note.sentences):
            continue
        tool, entry = creator, note
        if changer and (found := changed(held, note)):
            old, entry = found
            tool = changer
            held.remove(old)
        call = tool.call(
            len(made),
            text=written(entry),
            ident=entry.ident,
            subject=entry.subject or entry.sentences[0][:60],
            time=entry.stamp,
            choice=_choice(entry, creator.choices),
        )
        room -= len(call.name) + len(call.raw)
        if room < 0:
            break
        made.append(call)
    return made


def _choice(note: Entry, choices: Sequence[str]) -> str:
    """The type of entry for a note: one named for events if it has a date, else the first other type."""
    events = [value for value in choices if _EVENT.search(value)]
    others = [value for value in choices if value not in events]
    return next(iter(events + others if note.stamp else others + events), "")
