"""Task data: units of text, the stream they form, and the questions about it.

Gold (answers, evidence) lives in this module's objects and nowhere else. A `Context` or a `Question` never reaches an
agent: the engine hands over `memeval.agent.Chunk` and `memeval.agent.Query`, which hold no gold (DESIGN section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Unit:
    """A document or a turn: the smallest piece of a stream. It is split only if it alone exceeds a chunk.

    title: the title of a document, if it has one; the first line of `text` contains it too.
    """

    text: str
    time: str | None = None
    speaker: str | None = None
    title: str = ""

    def __hash__(self) -> int:
        """Hash only the text, because a string caches its hash and units are looked up for every context that holds
        them."""
        return hash(self.text)

    def render(self) -> str:
        """The unit as an agent reads it: `[time] speaker: text`, without the parts that the data do not have."""
        if not self.speaker and not self.time:
            return self.text.strip()
        speaker = f"{self.speaker}: " if self.speaker else ""
        stamp = f"[{self.time}] " if self.time else ""
        return f"{stamp}{speaker}{self.text}".strip()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of gold evidence: its text, and the indices (0-based, into `Context.units`) of the units that hold it."""

    text: str
    units: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a context.

    `answers` are the accepted golds (any of them counts). `position` is the number of units visible when the question
    is asked; None = all of them. `options` are the choices of a multiple-choice question, in order. `answerable=False`
    means the right reply is to abstain; such a question counts in the abstention metrics, not in the headline.
    `keypoints` are the points that a good summary makes, where the answer is one; a judge counts them.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    kind: str = "all"
    time: str | None = None
    options: tuple[str, ...] | None = None
    position: int | None = None
    answerable: bool = True
    evidence: tuple[Evidence, ...] = ()
    keypoints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("answers", "options", "keypoints"):  # a single text is one entry, not a sequence of letters
            value = getattr(self, name)
            if value is not None and not isinstance(value, tuple):
                object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))


@dataclass(frozen=True, slots=True)
class Context:
    """One stream and everything asked about it. `cluster` is the unit of resampling for intervals (validity section 1)."""

    id: str
    units: tuple[Unit, ...]
    questions: tuple[Question, ...]
    cluster: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContextRef:
    """A picklable pointer to a context that has not been built yet, and the ids of the questions to ask in it.

    `visible_question` is set when the task shows its question while the stream is read (one ingest per question).
    """

    context_id: str
    question_ids: tuple[str, ...]
    visible_question: str | None = None
