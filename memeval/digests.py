"""The identity of results: the part of a card that a run's hash covers, and digests of questions. A finished sample is
reused only while the digest of its question agrees.

The digest of a question is the first 16 hex digits of a sha256, in time linear in the text. Card settings (chunk size,
metrics) are in the run's hash instead.
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
"""Keys of cards that change no number. The run's hash covers every other key, new ones included."""
_AFTER_INGEST = {
    *("name", "reader_prompt", "answer_budget", "answer_tokens", "metrics", "headline"),
    *("cluster", "scoring", "published_metrics", "keyword_separator", "cut_off", "recall_prefix"),
    "sampling",  # part of the parameters of each role's model
}
"""Keys of a task's card that only affect how a memory is answered from; they leave the memory unchanged."""


def context_digest(context: Context) -> str:
    """The digest of a stream: text, time and speaker of every unit, in order."""
    return _sha(map(_unit_line, context.units))


def question_digest(context: Context, question: Question, stream: str) -> str:
    """The digest of the stream, the question as it is asked, and its golds. stream: `context_digest(context)`, the same
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
    """sha256 of ASCII JSON, one part per line, so that different texts cannot look equal. Lone surrogates stay
    distinct, as escapes."""
    lines = "".join(f"{part}\n" for part in parts)
    return hashlib.sha256(lines.encode("ascii")).hexdigest()[:LENGTH]


def identity(card: TaskCard | AgentCard) -> dict[str, Any]:
    """The part of a card that affects numbers: what the run's hash covers."""
    found = {key: value for key, value in asdict(card).items() if key not in _NOT_IDENTITY}
    for key in ("agent", "source"):
        if isinstance(found.get(key), str) and ".py:" in found[key]:  # the file's content counts, not its folder
            found[key] = Path(found[key]).name
    return found


def ingest_identity(card: TaskCard) -> dict[str, Any]:
    """The part of a task's card that affects a memory: not how it is read, and not how answers are scored."""
    return _read_part(identity(card))


def read_as(card: TaskCard) -> str:
    """The name of a task without variants that only affect answering: its runs under any answer budget share one
    memory. Of variants that read alike, the first one of the card."""
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
