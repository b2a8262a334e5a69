"""What a run cost: tokens and USD by role and phase, per right answer, per question, and how much it read.

Prices are those of every call as if it had been sent once: a reply from a cache counts like any other, a repeated attempt
does not. Where the price of a model that was called is not known, every sum with it is None (blank), never less.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from memeval.models.prices import Price, cost
from memeval.records.judgements import JudgeHeader
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, ScoreRow, ServiceRow, Spent, Usage
from memeval.records.summary import Cost, PriceFacts, TokenSums

PHASES = ("ingest", "recall", "answer", "judge")
OWN = PHASES[:-1]
"""Phases of the run itself."""
SHARED_BY = (1, 10, 100)
"""Questions per stream at which the price of one question is given (validity section 6)."""


class _Part(NamedTuple):
    """What one role spent in one row, or at one service. usd: None where it is not known."""

    phase: str
    role: str
    usage: Usage
    usd: float | None


@dataclass(frozen=True, slots=True)
class Costs:
    """calls: logical, by role. by_role, by_phase: tokens. services: what agents report beside the calls of models."""

    calls: dict[str, int]
    tokens: TokenSums
    by_role: dict[str, Usage]
    by_phase: dict[str, Usage]
    services: dict[str, ServiceRow]
    cost: Cost


def costs(
    *,
    questions: Mapping[str, QuestionRow],
    samples: Sequence[SampleRow],
    operations: Sequence[OperationRow],
    scores: Iterable[ScoreRow],
    prices: Mapping[str, Price | None],
    judged: Iterable[JudgeHeader] = (),
) -> Costs:
    """Tokens and prices of a run, from its rows. prices: role -> price of its model; scorer -> that of its judge,
    since several may have judged a run. judged: what judges cost. See `Cost`.

    An agent that reads the stream for its one question pays for it each time.
    """
    spent = list(_spent(samples, operations))
    parts: list[_Part] = []
    calls: defaultdict[str, int] = defaultdict(int)
    services: defaultdict[str, list[ServiceRow]] = defaultdict(list)
    for phase, row in spent:
        for role, used in row.tokens.items():
            calls[role] += row.calls.get(role, 0)
            parts.append(_Part(phase, role, used, cost(used, prices.get(role), row.calls.get(role, 0))))
        for role, service in row.services.items():
            services[role].append(service)
            parts.append(_Part(phase, role, Usage(), service.usd))
    for header in judged:
        calls["judge"] += header.calls
        price = prices.get(header.scorer, prices.get("judge"))
        parts.append(_Part("judge", "judge", header.tokens, cost(header.tokens, price, header.calls)))
    of_role = {role: [part for part in parts if part.role == role] for role in sorted({part.role for part in parts})}
    of_phase = {phase: [part for part in parts if part.phase == phase] for phase in PHASES}
    by_role = {role: _tokens(each) for role, each in of_role.items()}
    by_phase = {phase: _tokens(each) for phase, each in of_phase.items()}
    in_usd = {phase: added(part.usd for part in each) for phase, each in of_phase.items()}
    in_tokens = {phase: float(used.prompt + used.completion) for phase, used in by_phase.items()}
    total = _tokens(parts)
    read = _chunks_read(operations)
    streams = {(row.context_id, row.repeat) for row in samples} | set(read)
    sizes = {row.context_id: row.stream_tokens for row in questions.values()}
    answers = sum(not row.not_applicable for row in samples)
    once = any(row.query_used for row in samples)
    prompt = sum(by_phase[phase].prompt for phase in OWN)
    reporting = sum(used.prompt for used in by_role.values() if used.cached)
    found = Cost(
        usd=added(part.usd for part in parts),
        usd_by_role={role: added(part.usd for part in each) for role, each in of_role.items()},
        usd_by_phase=in_usd,
        usd_per_right=_ratio(added(in_usd[phase] for phase in OWN), sum(row.verdict == "right" for row in scores)),
        **_rates("usd", in_usd, len(streams), answers, once),
        **_rates("tokens", in_tokens, len(streams), answers, once),
        cached_share=_ratio(total.cached, reporting),
        read_amplification=_ratio(prompt, sum(sizes.get(context, 0) for context, _ in streams)),
        ingest_tokens_per_1k=_ratio(1000 * in_tokens["ingest"], sum(sum(chunks.values()) for chunks in read.values())),
        prices={role: PriceFacts(**listed.to_json()) for role in of_role if (listed := prices.get(role))},
        unpriced=tuple(role for role, each in of_role.items() if any(part.usd is None for part in each)),
    )
    return Costs(
        calls=dict(sorted(calls.items())),
        tokens=TokenSums(total.prompt, total.completion, total.cached),
        by_role={role: used for role, used in by_role.items() if role in calls},
        by_phase=by_phase,
        services={role: _together(reports) for role, reports in services.items()},
        cost=found,
    )


def _spent(samples: Iterable[SampleRow], operations: Iterable[OperationRow]) -> Iterator[tuple[str, Spent]]:
    """What every row took, with its phase. What recall took is a part of the sample's own."""
    for step in operations:
        yield "ingest", Spent(calls=step.calls, tokens=step.tokens, services=step.services)
    for row in samples:
        recalling = row.recalling or Spent()
        yield "recall", recalling
        yield "answer", _without(row, recalling)


def _without(row: SampleRow, part: Spent) -> Spent:
    """What a sample took besides this part of it; roles that took nothing more are left out."""
    rest = {role: calls - part.calls.get(role, 0) for role, calls in row.calls.items()}
    tokens, services = {}, {}
    for role, whole in row.tokens.items():
        used = part.tokens.get(role, Usage())
        if whole != used or rest.get(role):
            tokens[role] = Usage(*(getattr(whole, key) - getattr(used, key) for key in Usage.__struct_fields__))
    for role, reported in row.services.items():
        known = part.services.get(role, ServiceRow())
        if reported.calls > known.calls:
            usd = None if reported.usd is None or known.usd is None else reported.usd - known.usd
            calls, size = reported.calls - known.calls, reported.tokens - known.tokens
            services[role] = ServiceRow(calls=calls, tokens=size, usd=usd)
    return Spent(calls=rest, tokens=tokens, services=services)


def _together(reports: Sequence[ServiceRow]) -> ServiceRow:
    calls, size = sum(row.calls for row in reports), sum(row.tokens for row in reports)
    return ServiceRow(calls=calls, tokens=size, usd=added(row.usd for row in reports))


def _tokens(parts: Iterable[_Part]) -> Usage:
    return sum((part.usage for part in parts), Usage())


def _chunks_read(operations: Iterable[OperationRow]) -> dict[tuple[str, int], dict[str, int]]:
    """(context, repeat) -> chunk -> its tokens. A fork reads the last chunk of its prefix, or all of it, once more."""
    read: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
    for step in operations:
        if step.chunk_tokens:
            chunks = read[step.context_id, step.repeat]
            chunks[step.chunk] = max(chunks.get(step.chunk, 0), step.chunk_tokens)
    return read


def break_even(agent: Cost, other: Cost) -> float | None:
    """Questions per stream from which on the agent is cheaper than the other (long-context, say): where their
    `per_stream / K + per_answer` meet. In USD where all is priced, else in tokens. 0 where it is cheaper from the first
    question on; None where more questions never make it so, or nothing is known."""
    pairs = (
        (agent.usd_per_stream, agent.usd_per_answer, other.usd_per_stream, other.usd_per_answer),
        (agent.tokens_per_stream, agent.tokens_per_answer, other.tokens_per_stream, other.tokens_per_answer),
    )
    for built, asked, its_built, its_asked in pairs:
        if built is None or asked is None or its_built is None or its_asked is None:
            continue
        if its_asked > asked:
            return float(max(0.0, (built - its_built) / (its_asked - asked)))
        return 0.0 if its_asked == asked and built < its_built else None
    return None


def _rates(unit: str, phases: Mapping[str, float | None], streams: int, answers: int, once: bool) -> dict[str, Any]:
    """`..._per_stream`, `..._per_answer` and `..._per_question`. once: each stream is read for one question."""
    per_stream = _ratio(phases["ingest"], streams)
    per_answer = _ratio(added((phases["recall"], phases["answer"])), answers)
    shares = {number: _ratio(per_stream, 1 if once else number) for number in SHARED_BY}
    return {
        f"{unit}_per_stream": per_stream,
        f"{unit}_per_answer": per_answer,
        f"{unit}_per_question": {str(number): added((share, per_answer)) for number, share in shares.items()},
    }


def added(values: Iterable[float | None]) -> float | None:
    """The sum; None where one is not known."""
    found = list(values)
    return None if any(value is None for value in found) else math.fsum(value for value in found if value is not None)


def _ratio(value: float | None, by: int) -> float | None:
    return None if value is None or not by else value / by
