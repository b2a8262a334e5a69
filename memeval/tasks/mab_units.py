"""Cut MemoryAgentBench's contexts, which are one long text each, at their natural boundaries: documents, dialogues, labelled
examples, facts, paragraphs, chat turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
"""Start of a source's name -> where its context is cut."""

_LABELLED = re.compile(r"(?s)\s*(.+?\nlabel:[^\n]*)(?:\n|$)")
_SENTENCE = re.compile(r"[.!?][\"'”’)]*\s+|\n")
_LONG, _PIECE = 8000, 2000
"""Characters. A part longer than _LONG (for example a book without blank lines) is cut at sentence ends into pieces of about
_PIECE."""

_CHAT_TIME = re.compile(r"(\d{4})/(\d{2})/(\d{2})\s*\(\w+\)\s*(\d{2}:\d{2})")


def units(source: str, context: str) -> tuple[Unit, ...]:
    """The non-blank units of a row's context. Raises ValueError for an unknown source."""
    if source.startswith("longmemeval"):
        found = turns(context)
    elif source.startswith("icl"):
        found = [Unit(text) for text in examples(context)]
    else:
        boundary = next((pattern for prefix, pattern in _BOUNDARIES.items() if source.startswith(prefix)), None)
        if boundary is None:
            raise ValueError(f"source '{source}' is not one whose contexts can be cut into units")
        found = [Unit(text.strip()) for part in boundary.split(context) for text in _cut(part)]
    return tuple(unit for unit in found if unit.text)


def _cut(part: str) -> list[str]:
    """Cut a long part into pieces that end with a sentence or a line; all but the last have at least `_PIECE` characters."""
    pieces, start = [], 0
    if len(part) > _LONG:
        for end in (match.end() for match in _SENTENCE.finditer(part)):
            if end - start >= _PIECE:
                pieces.append(part[start:end])
                start = end
    return [*pieces, part[start:]]


def examples(context: str) -> list[str]:
    """Labelled examples, each an utterance and its line `label: <number>`. The text after the last label is one more."""
    found: list[str] = []
    end = 0
    for match in _LABELLED.finditer(context):
        found.append(match[1].strip())
        end = match.end()
    return [*found, context[end:].strip()]


def turns(context: str) -> list[Unit]:
    """The turns of LongMemEval's chats. The context is a Python literal (parsed, never evaluated): a list that alternates
    the time of a session and its turns, `{"role", "content"}`. A unit has its session's time, as in `2023-05-21 16:10`."""
    value = literal(context.strip())
    found: list[Unit] = []
    for stamp, session in zip(value[::2], value[1::2], strict=True):
        when = _CHAT_TIME.search(stamp)
        if when is None:
            raise ValueError(f"the time of a session is {stamp[:60]!r}, expected 'Chat Time: 2023/05/21 (Sun) 16:10'")
        time = f"{when[1]}-{when[2]}-{when[3]} {when[4]}"
        found.extend(Unit(turn["content"].strip(), time, turn["role"].capitalize()) for turn in session)
    return found


def evidence(sessions: Any, units: Sequence[Unit]) -> tuple[Evidence, ...]:
    """The turns of a question's haystack that are marked as holding its answer; none if one of them is not among the
    units."""
    marked = [turn for session in sessions or () for turn in session if turn.get("has_answer")]
    places: dict[tuple[str | None, str], list[int]] = {}
    for index, unit in enumerate(units if marked else ()):
        places.setdefault((unit.speaker, unit.text), []).append(index)
    gold = [(turn["role"].capitalize(), turn["content"].strip()) for turn in marked]
    return tuple(Evidence(turn[1], tuple(places[turn])) for turn in gold) if all(turn in places for turn in gold) else ()
