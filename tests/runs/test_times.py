"""Latencies of the agent's methods: measured while a run goes on, kept with its events, in its summary."""

from __future__ import annotations

import time
from typing import Any

import pytest
from folders import read_lines
from toys import Diary, simple

from memeval.records.rows import CallRow, TimesRow
from memeval.records.summary import Latency
from memeval.runs.run import run, run_together
from memeval.runs.times import ingest_seconds_per_1k, latencies


class Slow(Diary):
    def observe(self, chunk: Any) -> None:
        super().observe(chunk)
        time.sleep(0.01)

    def recall(self, query: Any) -> Any:
        time.sleep(0.03)
        return super().recall(query)


class Asks(Slow):
    """Asks its model in every method."""

    async def observe(self, chunk: Any) -> None:
        await self.session.models["memory"].generate([{"role": "user", "content": chunk.text}])
        self.chunks.append(chunk)


def test_methods_are_timed(toy: Any) -> None:
    planned = toy.planned(Slow, [simple(0), simple(1)])
    found = run(planned, quiet=True).summary
    chunks = sum(bool(row["units"]) for row in read_lines(planned.spec.memory / "operations.jsonl"))
    assert {name: row.n for name, row in found.latency.items()} == {"observe": chunks, "recall": 2, "answer": 2}
    assert 0.01 <= found.latency["observe"].p50 <= found.latency["observe"].p95
    assert found.latency["recall"].p50 >= 0.03
    assert found.ingest_seconds_per_1k is not None
    assert found.ingest_seconds_per_1k > 0.1


def test_what_was_read_back_is_not_timed(toy: Any) -> None:
    planned = toy.planned(Asks, [simple(0)])
    first = run(planned, quiet=True).summary
    assert first.latency["observe"].n > 1
    for file in ("samples.jsonl", "events.jsonl"):
        (planned.spec.folder / file).unlink()
    again = run(planned, quiet=True).summary
    assert set(again.latency) == {"recall"}  # its calls, and the reader's, came from the store


def test_the_answers_of_a_native_agent_are_its_own(toy: Any) -> None:
    class Native(Slow):
        track = "native"

        def answer(self, query: Any, recall: Any) -> str:
            time.sleep(0.02)
            return "Arlen"

    plans = [toy.planned(Native, [simple(0)], answer_budget=budget) for budget in (8, 64)]
    for outcome in run_together(plans, quiet=True):
        latency = outcome.summary.latency
        assert (latency["answer"].n, latency["recall"].n) == (1, 1)  # of one recall for both
        assert latency["answer"].p50 >= 0.02


def test_ranks_worked_by_hand() -> None:
    """Nearest rank: p50 of ten values is the fifth, p95 the tenth."""
    rows = [TimesRow(observe=(0.5, 0.1, 0.3), tokens=300, ingest=0.9), TimesRow(observe=(0.2, 0.4), tokens=700, ingest=0.6)]
    calls = [CallRow(phase="answer", source="model", seconds=float(second)) for second in range(10, 0, -1)]
    stored = CallRow(phase="answer", source="journal", seconds=99.0)
    failed = CallRow(phase="answer", source="model", seconds=99.0, status="HTTP 500")
    reading = CallRow(phase="ingest", source="model", seconds=99.0)
    found = latencies([*rows, *calls, stored, failed, reading], native=False)
    assert found == {"observe": Latency(p50=0.3, p95=0.5, n=5), "answer": Latency(p50=5.0, p95=10.0, n=10)}
    assert ingest_seconds_per_1k(rows) == pytest.approx(1.5)
    assert set(latencies([TimesRow(answer=(1.0,)), *calls], native=True)) == {"answer"}
    assert latencies([TimesRow(answer=(1.0,))], native=False) == {}  # a control that answers by a rule
    assert (latencies([], native=False), ingest_seconds_per_1k([])) == ({}, None)
