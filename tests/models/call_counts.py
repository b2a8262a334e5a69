"""What the rows of a gateway's calls come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memeval.records.rows import CallRow


@dataclass(frozen=True)
class Counts:
    """calls: of all kinds; cached: those for which nothing was sent; requests: attempts of those that ended; failures: with
    an error; prompt: tokens of all calls; fresh: of those that were sent."""

    calls: int
    cached: int
    requests: int
    failures: int
    prompt: int
    fresh: int


def counts(rows: Sequence[CallRow]) -> Counts:
    sent = [row for row in rows if row.source == "model"]
    return Counts(
        len(rows),
        len(rows) - len(sent),
        sum(row.attempts for row in rows),
        sum(row.status != "ok" for row in rows),
        sum(row.prompt for row in rows),
        sum(row.prompt for row in sent),
    )
