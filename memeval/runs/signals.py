"""What an executor tells the driver beside rows."""

from __future__ import annotations

from dataclasses import dataclass

from memeval.records.rows import CallRow, OperationRow, QuestionRow, SampleRow, TextRow, TimesRow, TroubleRow


@dataclass(frozen=True, slots=True)
class Built:
    """A context's stream was built."""

    context_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ContextRead:
    """The agent has read all that it is to read of a context; answers may follow."""


@dataclass(frozen=True, slots=True)
class ContextDone:
    context_id: str
    repeat: int


@dataclass(frozen=True, slots=True)
class AgentSlow:
    """A method of an agent has not returned for a minute."""

    context_id: str
    method: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run cannot go on; `reason` is one line for the user."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The last signal. requests: sent, retries included. first_call: `time.monotonic()` of the first call, or None."""

    requests: int
    first_call: float | None


Row = QuestionRow | SampleRow | OperationRow | TextRow | CallRow | TimesRow | TroubleRow


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of one of the runs that are answered together: `run` is its number among them."""

    run: int
    row: Row


Event = Row | RunRow | Built | ContextRead | ContextDone | AgentSlow | Stopped | Ended
"""What an executor yields."""
