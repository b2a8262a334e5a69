"""A run as it is when the driver is done with it."""

from __future__ import annotations

from dataclasses import dataclass

from memeval.records.summary import Summary
from memeval.runs.plan import Planned


@dataclass(frozen=True, slots=True)
class Outcome:
    """summary: of the questions that were asked for. stopped: why the run ended early, if it did (`interrupted` by the
    user)."""

    planned: Planned
    summary: Summary
    stopped: str | None = None
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        return self.summary.status == "complete"
