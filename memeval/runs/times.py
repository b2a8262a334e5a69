"""The durations of an agent's methods: measured in one context, and summarised over the contexts of a run."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from memeval.models.usage import Ledger
from memeval.records.rows import CallRow, EventRow, TimesRow
from memeval.records.summary import Latency

READING = ("begin", "observe", "finish")


class Times:
    """Seconds by method. Methods that used a stored reply are left out, because they say nothing about time."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._tokens = 0

    @contextmanager
    def of(self, method: str, ledger: Ledger, tokens: int = 0) -> Iterator[None]:
        """Measure this block. tokens: of the chunk that it reads."""
        begun = time.monotonic()
        yield
        if not (ledger.read_back or ledger.failures):
            self._seconds[method].append(round(time.monotonic() - begun, 6))
            self._tokens += tokens

    def row(self, context_id: str, repeat: int) -> TimesRow:
        return TimesRow(
            at=round(time.time(), 3),
            context_id=context_id,
            repeat=repeat,
            observe=tuple(self._seconds["observe"]),
            tokens=self._tokens,
            ingest=round(sum(sum(self._seconds[method]) for method in READING), 6),
            recall=tuple(self._seconds["recall"]),
            answer=tuple(self._seconds["answer"]),
        )


def latencies(events: Iterable[EventRow], native: bool) -> dict[str, Latency]:
    """Latencies of `observe`, `recall` and `answer`, if measured. native: the agent answers by itself; else the reader
    does, in one call."""
    seconds: dict[str, list[float]] = {"observe": [], "recall": [], "answer": []}
    for row in events:
        if isinstance(row, TimesRow):
            seconds["observe"] += row.observe
            seconds["recall"] += row.recall
            seconds["answer"] += row.answer if native else ()
        elif isinstance(row, CallRow) and not native and (row.phase, row.source, row.status) == ("answer", "model", "ok"):
            seconds["answer"].append(row.seconds)
    return {
        name: Latency(p50=_rank(found, 0.5), p95=_rank(found, 0.95), n=len(found))
        for name, found in seconds.items()
        if found
    }


def ingest_seconds_per_1k(events: Iterable[EventRow]) -> float | None:
    """Seconds of reading per 1000 tokens of stream, if measured."""
    rows = [row for row in events if isinstance(row, TimesRow)]
    tokens = sum(row.tokens for row in rows)
    return 1000 * sum(row.ingest for row in rows) / tokens if tokens else None


def _rank(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
