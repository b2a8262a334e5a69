"""Events from the engine to the driver: typed rows, and signals that only the display and the clock need."""

from __future__ import annotations

from dataclasses import dataclass

from memeval.records.rows import CallRow, OperationRow, QuestionRow, SampleRow, TextRow, TimesRow, TroubleRow


@dataclass(frozen=True, slots=True)
class ContextBuilt:
    """A context's stream was built."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ContextDone:
    context_id: str
    repeat: int


@dataclass(frozen=True, slots=True)
class AgentSlow:
    """A method of an agent has not returned for a minute."""

    context_id: str
    method: str


Row = QuestionRow | SampleRow | TextRow | TimesRow
"""A row of the answers of one run."""
Event = Row | OperationRow | CallRow | TroubleRow | ContextBuilt | ContextDone | AgentSlow
