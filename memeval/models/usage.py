"""Who pays: the ledger that every model call is booked in.

The engine opens a `Ledger` for each chunk and each question and sets it in `current`; a bound model books into it. A
context variable carries it through `await` and into worker threads, so questions answered concurrently stay apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from memeval.models.completion import Completion, Usage


@dataclass
class Ledger:
    """Calls and tokens by role in one phase (`ingest`, `recall`, `answer`), what failed, and the recorded events."""

    phase: str
    calls: Counter[str] = field(default_factory=Counter)
    tokens: defaultdict[str, Usage] = field(default_factory=lambda: defaultdict(Usage))
    failures: list[str] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    last: Completion | None = None

    def book(self, role: str, completion: Completion) -> None:
        self.calls[role] += 1
        self.tokens[role] = self.tokens[role] + completion.usage
        self.last = completion
        if completion.error:
            self.failures.append(f"{role}: {completion.error}")

    def tokens_json(self) -> dict[str, dict[str, int]]:
        return {role: usage.to_json() for role, usage in sorted(self.tokens.items())}


current: ContextVar[Ledger] = ContextVar("memeval_ledger")
