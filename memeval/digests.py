"""Digests of what is asked: a finished sample is used again only while the digest of its question agrees.

Each is the first 16 hex digits of a sha256, linear in the text. Words of a card (chunk size, metrics) are not in them: those
are in the run's hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from memeval.task import Context, Question

LENGTH = 16


def context_digest(context: Context) -> str:
    """Of the stream alone: text, time and speaker of every unit, in order."""
    return _digest([unit.text, unit.time, unit.speaker] for unit in context.units)


def question_digest(context: Context, question: Question, stream: str | None = None) -> str:
    """Of the stream, of the question as it is asked, and of its golds. stream: `context_digest(context)`, for callers with
    many questions of one context."""
    asked = [question.id, question.text, question.time, question.options, question.position]
    golds = [question.answers, question.answerable, question.kind, question.keypoints, context.cluster]
    evidence = [[piece.text, piece.units] for piece in question.evidence]
    return _digest([stream or context_digest(context), asked, golds, evidence])


def question_digests(context: Context) -> dict[str, str]:
    """Question id -> `question_digest`, for all questions of a context; the units are hashed once."""
    stream = context_digest(context)
    return {question.id: question_digest(context, question, stream) for question in context.questions}


def _digest(parts: Iterable[Any]) -> str:
    """JSON of one part a line: no text can look like two. Lone surrogates are kept apart, as escapes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part, ensure_ascii=True).encode("ascii") + b"\n")
    return digest.hexdigest()[:LENGTH]
