"""What a run's memories held along their streams, what was done to them, and how long that took.

A memory is followed up to the last question of its stream. Each repeat of a context has a memory of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

import msgspec

from memeval.records.rows import OperationRow, QuestionRow
from memeval.records.summary import Latency, Operations, Sizes
from memeval.results.memory_at import steps_at
from memeval.results.run import Run

POINTS = 50
"""The most points that the curve over the stream has."""


class Held(msgspec.Struct, frozen=True):
    """What the memories held after `share` of their chunks was read, as means over the memories. stream_tokens: tokens read
    until then; tokens: tokens held, by type."""

    share: float
    stream_tokens: float
    tokens: dict[str, float]


class Changes(msgspec.Struct, frozen=True):
    """Entries that were written, replaced and deleted, as the agent recorded it."""

    writes: int = 0
    updates: int = 0
    deletes: int = 0


class Economics(msgspec.Struct, frozen=True, kw_only=True):
    """Memory economics of a run.

    along: tokens held by type along the stream, at up to 50 equal steps. peak: the most that each memory held at any time;
    end: what it held at the end. These three are empty where the agent does not report what it holds. changes: None where
    the agent records none. operations: how its operations ended, and why some failed. read_amplification: prompt tokens per
    token of the streams. ingest_tokens_per_1k, ingest_seconds_per_1k: what reading took, per 1000 tokens of stream. latency:
    seconds of `observe`, `recall` and `answer`.
    """

    memories: int = 0
    along: tuple[Held, ...] = ()
    peak: Sizes = Sizes()
    end: Sizes = Sizes()
    changes: Changes | None = None
    operations: Operations = Operations()
    read_amplification: float | None = None
    ingest_tokens_per_1k: float | None = None
    ingest_seconds_per_1k: float | None = None
    latency: dict[str, Latency] = {}


def economics(run: Run) -> Economics:
    """Memory economics of a run, from the steps of its memories and its summary. A control has no memory, only costs and
    latencies. Raises UsageError where a row is damaged, or the run has no summary."""
    summary = run.summary
    memories = _memories(run)
    peaks = [
        max(sizes) for steps in memories if (sizes := [sum(row.held.values()) for row in steps if row.held is not None])
    ]
    return Economics(
        memories=len(memories),
        along=_along(memories),
        peak=Sizes(fmean(peaks), max(peaks)) if peaks else Sizes(),
        end=summary.memory_tokens,
        changes=_changes(memories),
        operations=summary.operations,
        read_amplification=summary.cost.read_amplification,
        ingest_tokens_per_1k=summary.cost.ingest_tokens_per_1k,
        ingest_seconds_per_1k=summary.ingest_seconds_per_1k,
        latency=summary.latency,
    )


def _memories(run: Run) -> list[list[OperationRow]]:
    """The steps of each memory up to the last question that was asked of it."""
    last: dict[str, QuestionRow] = {}
    for row in run.questions.values():
        before = last.get(row.context_id)
        if before is None or _place(row) > _place(before):
            last[row.context_id] = row
    return [steps_at(run, last[context], repeat) for context, repeat in run.steps]


def _place(row: QuestionRow) -> float:
    return float("inf") if row.place is None else row.place


def _along(memories: Sequence[Sequence[OperationRow]]) -> tuple[Held, ...]:
    read = [[row for row in steps if row.units] for steps in memories]
    read = [steps for steps in read if steps and all(row.held is not None for row in steps)]
    points = min(POINTS, max(map(len, read), default=0))
    found = []
    for point in range(1, points + 1):
        until = [steps[: math.ceil(point * len(steps) / points)] for steps in read]
        held: Counter[str] = Counter()
        for steps in until:
            held.update(steps[-1].held or {})
        tokens = fmean(sum(row.chunk_tokens for row in steps) for steps in until)
        found.append(Held(point / points, tokens, {kind: total / len(until) for kind, total in held.items()}))
    return tuple(found)


def _changes(memories: Iterable[Iterable[OperationRow]]) -> Changes | None:
    counts: Counter[str] = Counter()
    for steps in memories:
        there = set()
        for effect in (result.effect for step in steps for result in step.results if result.effect is not None):
            entry = (str(effect.get("type")), str(effect.get("id")))
            if effect.get("op") == "delete":
                counts["deletes"] += 1
                there.discard(entry)
            else:
                counts["updates" if entry in there else "writes"] += 1
                there.add(entry)
    return Changes(**counts) if counts else None


def lines(found: Economics) -> list[str]:
    """The record as a few lines of text for `memeval show`; what is not known is left out."""
    text = []
    if found.peak.mean is not None and found.end.mean is not None:
        text.append(
            f"memory tokens at the end {found.end.mean:,.0f}, at the peak {found.peak.mean:,.0f} (most {found.peak.max:,})"
        )
    if found.along and len(found.along[-1].tokens) > 1:
        text.append("  by type " + ", ".join(f"{kind} {tokens:,.0f}" for kind, tokens in found.along[-1].tokens.items()))
    if found.changes:
        changes = found.changes
        text.append(f"memory entries written {changes.writes:,}, replaced {changes.updates:,}, deleted {changes.deletes:,}")
    if found.read_amplification is not None:
        text.append(f"prompt tokens per token of stream {found.read_amplification:.2f}")
    if found.ingest_tokens_per_1k is not None:
        seconds = "" if found.ingest_seconds_per_1k is None else f", {found.ingest_seconds_per_1k:.3g} s"
        text.append(f"reading, per 1,000 tokens of stream: {found.ingest_tokens_per_1k:,.0f} tokens{seconds}")
    if found.latency:
        each = (f"{name} {row.p50:.3g} / {row.p95:.3g}" for name, row in found.latency.items())
        text.append(f"seconds, p50 / p95: {', '.join(each)}")
    return text
