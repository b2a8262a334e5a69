"""MemoryAgentBench's contexts, one long text each, cut at their natural boundaries: documents, dialogues, labelled
examples, facts, paragraphs, chat turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.data.fields import literal
from memeval.task import Evidence, Unit

_PARAGRAPH = re.compile(r"\n\s*\n")
_BOUNDARIES: Mapping[str, re.Pattern[str]] = {
    "ruler_qa": re.compile(r"(?m)^(?=Document \d+:)"),
    "recsys": re.compile(r"(?m)^(?=Dialogue \d+:)"),
    "factconsolidation": re.compile(r"(?m)^(?=\d+\. )"),
    "eventqa": _PARAGRAPH,
    "infbench": _PARAGRAPH,
    "detective": _PARAGRAPH,
}
"""Beginning of a source's name -> where its context is cut."""

_LABELLED = re.compile(r"(?s)\s*(.+?\nlabel:[^\n]*)(?:\n|$)")
_SENTENCE = re.compile(r"[.!?][\"'”’)]*\s+|\n")
_LONG, _PIECE = 8000, 2000
"""Characters. A part beyond the first (a book without blank lines is one part) is cut at sentence ends into pieces of
about the second."""

_CHAT_TIME = re.compile(r"(\d{4})/(\d{2})/(\d{2})\s*\(\w+\)\s*(\d{2}:\d{2})")
_LONGEST = 20_000_000
"""Characters of a chat history: several times the longest there is. Beyond, it is not parsed."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a chat. time: of its session, as `2023-05-21 16:10`. role: as the data spell it."""

    time: str
    role: str
    content: str

    def unit(self) -> Unit:
        return Unit(self.content.strip(), self.time, self.role.capitalize())


def units(source: str, context: str) -> tuple[Unit, ...]:
    """The context of a row as units that are not blank. Raises ValueError for an unknown source."""
    if source.startswith("longmemeval"):
        found = [turn.unit() for turn in turns(context)]
    elif source.startswith("icl"):
        found = [Unit(text) for text in examples(context)]
    else:
        boundary = next((pattern for prefix, pattern in _BOUNDARIES.items() if source.startswith(prefix)), None)
        if boundary is None:
            raise ValueError(f"source '{source}' is not one whose contexts can be cut into units")
        found = [Unit(text.strip()) for part in boundary.split(context) for text in _cut(part)]
    return tuple(unit for unit in found if unit.text)


def _cut(part: str) -> list[str]:
    """A long part in pieces that end with a sentence or a line, each of at least `_PIECE` characters but the last."""
    pieces, start = [], 0
    if len(part) > _LONG:
        for end in (match.end() for match in _SENTENCE.finditer(part)):
            if end - start >= _PIECE:
                pieces.append(part[start:end])
                start = end
    return [*pieces, part[start:]]


def examples(context: str) -> list[str]:
    """Labelled examples, each an utterance and its line `label: <number>`; what follows the last label is one more."""
    found: list[str] = []
    end = 0
    for match in _LABELLED.finditer(context):
        found.append(match[1].strip())
        end = match.end()
    return [*found, context[end:].strip()]


def turns(context: str) -> list[Turn]:
    """The turns of LongMemEval's chats: a Python literal (read as a literal, never evaluated), a list that alternates
    the time of a session and its turns, `{"role", "content"}`."""
    value = literal(context.strip(), _LONGEST)
    found: list[Turn] = []
    for stamp, session in zip(value[::2], value[1::2], strict=True):
        when = _CHAT_TIME.search(stamp)
        if when is None:
            raise ValueError(f"the time of a session is {stamp[:60]!r}, expected 'Chat Time: 2023/05/21 (Sun) 16:10'")
        time = f"{when[1]}-{when[2]}-{when[3]} {when[4]}"
        found.extend(Turn(time, turn["role"], turn["content"]) for turn in session)
    return found


def marked(sessions: Any) -> tuple[tuple[str, str], ...]:
    """(role, content) of those turns of a question's haystack that are marked to hold its answer."""
    found = [turn for session in sessions or () for turn in session if turn.get("has_answer")]
    return tuple((turn["role"], turn["content"]) for turn in found)


def evidence(marked: Sequence[Sequence[tuple[str, str]]], turns: Sequence[Turn]) -> list[tuple[Evidence, ...]]:
    """For each question its marked turns as evidence, or no evidence if one of them is missing from the context."""
    places: dict[tuple[str, str], list[int]] = {}
    for index, turn in enumerate(turn for turn in turns if turn.content.strip()):  # a blank turn is no unit
        places.setdefault((turn.role, turn.content), []).append(index)
    found = []
    for keys in marked:
        pieces = tuple(Evidence(key[1].strip(), tuple(places.get(key, ()))) for key in keys)
        found.append(pieces if all(piece.units for piece in pieces) else ())
    return found
