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
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, ScoreRow, Spent, Usage
from memeval.records.summary import Cost, PriceFacts, TokenSums

PHASES = ("ingest", "recall", "answer", "judge")
OWN = PHASES[:-1]
"""Phases of the run itself."""
SHARED_BY = (1, 10, 100)
"""Questions per stream at which the price of one question is given (validity section 6)."""


class Booking(NamedTuple):
    """Logical calls of one row, by one role in one phase."""

    phase: str
    role: str
    usage: Usage
    calls: int


@dataclass(frozen=True, slots=True)
class Costs:
    """calls: logical, by role. by_role, by_phase: tokens."""

    calls: dict[str, int]
    tokens: TokenSums
    by_role: dict[str, Usage]
    by_phase: dict[str, Usage]
    cost: Cost


class _Sum:
    """Calls, tokens and USD of some bookings. usd is exact (fsum), so the order of rows does not matter."""

    def __init__(self) -> None:
        self.calls = 0
        self.usage = Usage()
        self._usd: list[float | None] = []

    def add(self, booking: Booking, usd: float | None) -> None:
        self.calls += booking.calls
        self.usage += booking.usage
        self._usd.append(usd)

    @property
    def usd(self) -> float | None:
        return added(self._usd)


def costs(
    *,
    questions: Mapping[str, QuestionRow],
    samples: Sequence[SampleRow],
    operations: Sequence[OperationRow],
    scores: Iterable[ScoreRow],
    prices: Mapping[str, Price | None],
    judged: Iterable[JudgeHeader] = (),
) -> Costs:
    """Tokens and prices of a run, from its rows. prices: role -> price of its model. judged: what judges cost. See `Cost`.

    An agent that reads the stream for its one question pays for it each time.
    """
    roles: dict[str, _Sum] = defaultdict(_Sum)
    phases: dict[str, _Sum] = {phase: _Sum() for phase in PHASES}
    total = _Sum()
    for booking in bookings(samples, operations, judged):
        usd = cost(booking.usage, prices.get(booking.role), booking.calls)
        for part in (total, roles[booking.role], phases[booking.phase]):
            part.add(booking, usd)
    read: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
    for step in operations:
        if step.chunk_tokens:  # a fork reads the last chunk of its prefix, or all of it, once more
            chunks = read[step.context_id, step.repeat]
            chunks[step.chunk] = max(chunks.get(step.chunk, 0), step.chunk_tokens)
    streams = {(row.context_id, row.repeat) for row in samples} | set(read)
    sizes = {row.context_id: row.stream_tokens for row in questions.values()}
    answers = sum(not row.not_applicable for row in samples)
    once = any(row.query_used for row in samples)
    in_usd = {phase: part.usd for phase, part in phases.items()}
    in_tokens = {phase: float(part.usage.prompt + part.usage.completion) for phase, part in phases.items()}
    prompt = sum(phases[phase].usage.prompt for phase in OWN)
    reporting = sum(part.usage.prompt for part in roles.values() if part.usage.cached)
    found = Cost(
        usd=total.usd,
        usd_by_role={role: roles[role].usd for role in sorted(roles)},
        usd_by_phase=in_usd,
        usd_per_right=_ratio(added(in_usd[phase] for phase in OWN), sum(row.verdict == "right" for row in scores)),
        **_rates("usd", in_usd, len(streams), answers, once),
        **_rates("tokens", in_tokens, len(streams), answers, once),
        cached_share=_ratio(total.usage.cached, reporting),
        read_amplification=_ratio(prompt, sum(sizes.get(context, 0) for context, _ in streams)),
        ingest_tokens_per_1k=_ratio(1000 * in_tokens["ingest"], sum(sum(chunks.values()) for chunks in read.values())),
        prices={role: PriceFacts(**listed.to_json()) for role, listed in sorted(prices.items()) if listed and role in roles},
        unpriced=tuple(role for role in sorted(roles) if prices.get(role) is None),
    )
    return Costs(
        {role: roles[role].calls for role in sorted(roles)},
        TokenSums(total.usage.prompt, total.usage.completion, total.usage.cached),
        {role: roles[role].usage for role in sorted(roles)},
        {phase: phases[phase].usage for phase in PHASES},
        found,
    )


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


def bookings(
    samples: Iterable[SampleRow], operations: Iterable[OperationRow], judged: Iterable[JudgeHeader]
) -> Iterator[Booking]:
    """The calls of every row. What recall cost is a part of the sample's own tokens."""
    for step in operations:
        yield from _booked("ingest", step.tokens, step.calls)
    for row in samples:
        recalling = row.recalling or Spent()
        yield from _booked("recall", recalling.tokens, recalling.calls)
        for whole in _booked("answer", row.tokens, row.calls):
            part, calls = recalling.tokens.get(whole.role, Usage()), recalling.calls.get(whole.role, 0)
            if whole.usage != part or whole.calls != calls:
                yield whole._replace(usage=_minus(whole.usage, part), calls=whole.calls - calls)
    for header in judged:
        yield Booking("judge", "judge", header.tokens, header.calls)


def _booked(phase: str, tokens: Mapping[str, Usage], calls: Mapping[str, int]) -> Iterator[Booking]:
    return (Booking(phase, role, used, calls.get(role, 0)) for role, used in tokens.items())


def _minus(whole: Usage, part: Usage) -> Usage:
    return Usage(*(getattr(whole, key) - getattr(part, key) for key in Usage.__struct_fields__))


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
