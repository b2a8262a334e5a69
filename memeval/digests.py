"""What makes a result what it is: the part of a card that a run's hash covers, and digests of questions, so that a finished
sample is used again only while the digest of its question agrees.

A digest of a question is the first 16 hex digits of a sha256, linear in the text. Words of a card (chunk size, metrics) are
not in it: those are in the run's hash.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from memeval.cards import AgentCard, TaskCard
from memeval.task import Context, Question, Unit

LENGTH = 16
_NOT_IDENTITY = {
    *("path", "description", "citation", "licence", "variants", "questions", "extends", "abstract"),
    *("repeats", "replayable", "protocol", "deviations", "reader_deviation", "reproduces"),
    *("judge", "family", "split", "trained_on"),
}
"""Keys of cards that change no number. Every other key, a new one too, is in the run's hash."""
_AFTER_INGEST = {
    *("name", "reader_prompt", "answer_budget", "answer_tokens", "metrics", "headline"),
    *("cluster", "scoring", "published_metrics", "keyword_separator", "cut_off", "recall_prefix"),
    "sampling",  # of each role it is among the parameters of its model
}
"""Keys of a task's card that say how a memory is answered from: another value leaves the memory as it is."""


def context_digest(context: Context) -> str:
    """Of the stream alone: text, time and speaker of every unit, in order."""
    return _sha(map(_unit_line, context.units))


def question_digest(context: Context, question: Question, stream: str) -> str:
    """Of the stream, of the question as it is asked, and of its golds. stream: `context_digest(context)`, which is the same
    for all questions of a context."""
    asked = [question.id, question.text, question.time, question.options, question.position]
    golds = [question.answers, question.answerable, question.kind, question.keypoints, context.cluster]
    evidence = [[piece.text, piece.units] for piece in question.evidence]
    return _digest([stream, asked, golds, evidence])


def question_digests(context: Context) -> dict[str, str]:
    """Question id -> `question_digest`, for all questions of a context; the units are hashed once."""
    stream = context_digest(context)
    return {question.id: question_digest(context, question, stream) for question in context.questions}


def _digest(parts: Iterable[Any]) -> str:
    return _sha(json.dumps(part, ensure_ascii=True) for part in parts)


@functools.lru_cache(maxsize=1 << 14)  # streams of one pool share most of their units
def _unit_line(unit: Unit) -> str:
    return f"[{_json(unit.text)}, {_json(unit.time)}, {_json(unit.speaker)}]"


def _json(value: Any) -> str:
    return "null" if value is None else quoted(value) if isinstance(value, str) else json.dumps(value)


def _sha(parts: Iterable[str]) -> str:
    """Of ASCII JSON, one part a line: no text can look like two. Lone surrogates are kept apart, as escapes."""
    lines = "".join(f"{part}\n" for part in parts)
    return hashlib.sha256(lines.encode("ascii")).hexdigest()[:LENGTH]


def identity(card: TaskCard | AgentCard) -> dict[str, Any]:
    """The part of a card that makes a number what it is: what the run's hash covers."""
    found = {key: value for key, value in asdict(card).items() if key not in _NOT_IDENTITY}
    for key in ("agent", "source"):
        if isinstance(found.get(key), str) and ".py:" in found[key]:  # its content counts, not its folder
            found[key] = Path(found[key]).name
    return found


def ingest_identity(card: TaskCard) -> dict[str, Any]:
    """The part of a task's card that a memory depends on: not how it is read, and not how answers are scored."""
    return _read_part(identity(card))


def read_as(card: TaskCard) -> str:
    """The name of a task without what its variants say about answering only: runs of it under any answer budget read one
    memory. Of variants that read alike, the first that the card has."""
    base, *names = card.name.split("@")
    for name in names:
        read = _read_part(card.variants.get(name, {"": name}))
        if read:
            alike = (other for other, changes in card.variants.items() if _read_part(changes) == read)
            base += f"@{next(alike, name)}"
    return base


def _read_part(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if key not in _NOT_IDENTITY | _AFTER_INGEST}


def canonical(data: Any) -> str:
    """Canonical JSON: sorted keys, no blanks, non-ASCII kept."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)


def digest(data: Any) -> str:
    """sha256 (hex) of the canonical JSON of `data`."""
    return hashlib.sha256(canonical(data).encode("utf-8", "surrogatepass")).hexdigest()
