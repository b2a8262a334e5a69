"""What a run cost: tokens and USD by role and phase, per right answer, per question, and how much it read.

Prices are those of every call as if it had been sent once: a reply from a cache counts like any other, a repeated attempt
does not. Where the price of a model that was called is not known, every sum with it is None (blank), never less.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from memeval.models.completion import Usage
from memeval.models.prices import Price, cost

Line = Mapping[str, Any]
PHASES = ("ingest", "recall", "answer", "judge")
SHARED_BY = (1, 10, 100)
"""Questions per stream at which the price of one question is given (validity section 6)."""


class _Sum:
    """Tokens, calls and USD of some lines. usd is exact (fsum), so the order in which lines were written does not matter."""

    def __init__(self) -> None:
        self.calls = 0
        self.usage = Usage()
        self._usd: list[float | None] = []

    def add(self, usage: Usage, calls: int, usd: float | None) -> None:
        self.calls += calls
        self.usage += usage
        self._usd.append(usd)

    @property
    def usd(self) -> float | None:
        known = [usd for usd in self._usd if usd is not None]
        return math.fsum(known) if len(known) == len(self._usd) else None


def costs(
    *,
    questions: Mapping[str, Line],
    samples: Sequence[Line],
    operations: Iterable[Line],
    scores: Iterable[Line],
    prices: Mapping[str, Price | None],
    judged: Iterable[Line] = (),
) -> dict[str, Any]:
    """`calls`, `tokens`, `tokens_by_role`, `tokens_by_phase` and `cost` of a run, from the lines of its folder.

    prices: role -> price of its model. judged: the headers of scores/<judge>.json (`calls`, `tokens`).

    cost: usd, usd_by_role, usd_by_phase (USD). usd_per_right: of all but the judge, over samples that are right.
    usd_per_stream: building one memory; usd_per_answer: recalling and answering once; usd_per_question: at 1, 10 and 100
    questions a stream, per_stream / K + per_answer (an agent that reads the stream for its one question pays for it each
    time). tokens_per_...: the same in prompt and completion tokens. cached_share: of the prompt tokens of roles whose server
    reported any (else None). read_amplification: prompt tokens, without the judge's, per token of the streams.
    ingest_tokens_per_1k: prompt and completion tokens of ingest per 1000 tokens of stream that were read. prices: USD per
    million tokens. unpriced: roles whose calls have no known price.
    """
    roles: dict[str, _Sum] = defaultdict(_Sum)
    phases: dict[str, _Sum] = {phase: _Sum() for phase in PHASES}
    total = _Sum()
    read: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)

    def seen(lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            if line["chunk_tokens"]:  # a fork reads the last chunk of its prefix, or all of it, once more
                chunks = read[line["context_id"], line["repeat"]]
                chunks[line["chunk"]] = max(chunks.get(line["chunk"], 0), line["chunk_tokens"])
            yield line

    for phase, role, usage, calls in bookings(samples, seen(operations), judged):
        usd = cost(usage, prices.get(role), calls)
        for part in (total, roles[role], phases[phase]):
            part.add(usage, calls, usd)
    streams = {(line["context_id"], line["repeat"]) for line in samples} | set(read)
    answers = sum(not line.get("not_applicable") for line in samples)
    right = sum(line["verdict"] == "right" for line in scores)
    own = [phase for phase in PHASES if phase != "judge"]
    once = any(line.get("query_used") for line in samples)
    in_usd = {phase: part.usd for phase, part in phases.items()}
    in_tokens = {phase: float(part.usage.prompt + part.usage.completion) for phase, part in phases.items()}
    sizes = {line["context_id"]: line["stream_tokens"] for line in questions.values()}
    of_streams = sum(sizes.get(context, 0) for context, _ in streams)
    of_reading = sum(sum(chunks.values()) for chunks in read.values())
    reporting = [part for part in roles.values() if part.usage.cached]
    prompt = sum(phases[phase].usage.prompt for phase in own)
    return {
        "calls": {role: roles[role].calls for role in sorted(roles)},
        "tokens": {key: getattr(total.usage, key) for key in ("prompt", "completion", "cached")},
        "tokens_by_role": {role: _plain(roles[role].usage) for role in sorted(roles)},
        "tokens_by_phase": {phase: _plain(phases[phase].usage) for phase in PHASES},
        "cost": {
            "usd": total.usd,
            "usd_by_role": {role: roles[role].usd for role in sorted(roles)},
            "usd_by_phase": in_usd,
            "usd_per_right": _ratio(added(in_usd[phase] for phase in own), right),
            **_rates("usd", in_usd, len(streams), answers, once),
            **_rates("tokens", in_tokens, len(streams), answers, once),
            "cached_share": _ratio(total.usage.cached, sum(part.usage.prompt for part in reporting)),
            "read_amplification": _ratio(prompt, of_streams),
            "ingest_tokens_per_1k": _ratio(1000 * in_tokens["ingest"], of_reading),
            "prices": {role: found.to_json() for role, found in sorted(prices.items()) if found and role in roles},
            "unpriced": [role for role in sorted(roles) if prices.get(role) is None],
        },
    }


def break_even(agent: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """Questions per stream from which on the agent is cheaper than the other (long-context, say): where their
    `per_stream / K + per_answer` meet. Both are the `cost` of a summary. In USD where all is priced, else in tokens. 0 where
    it is cheaper from the first question on; None where more questions never make it so, or nothing is known."""
    for unit in ("usd", "tokens"):
        built, its_built = agent[f"{unit}_per_stream"], other[f"{unit}_per_stream"]
        asked, its_asked = agent[f"{unit}_per_answer"], other[f"{unit}_per_answer"]
        if None in (built, its_built, asked, its_asked):
            continue
        if its_asked > asked:
            return float(max(0.0, (built - its_built) / (its_asked - asked)))
        return 0.0 if its_asked == asked and built < its_built else None
    return None


def bookings(
    samples: Iterable[Line], operations: Iterable[Line], judged: Iterable[Line]
) -> Iterator[tuple[str, str, Usage, int]]:
    """(phase, role, usage, calls) of every line. What recall cost is a part of the sample's own tokens."""
    for line in operations:
        yield from (("ingest", role, usage, calls) for role, usage, calls in _booked(line))
    for line in samples:
        recalling = {role: (usage, calls) for role, usage, calls in _booked(line.get("recalling") or {})}
        yield from (("recall", role, usage, calls) for role, (usage, calls) in recalling.items())
        for role, usage, calls in _booked(line):
            before, earlier = recalling.get(role, (Usage(), 0))
            if usage != before or calls != earlier:
                yield "answer", role, _minus(usage, before), calls - earlier
    for line in judged:
        yield "judge", "judge", Usage(**line["tokens"]), line["calls"]


def _booked(line: Line) -> list[tuple[str, Usage, int]]:
    return [(role, Usage(**used), line["calls"].get(role, 0)) for role, used in line.get("tokens", {}).items()]


def _minus(whole: Usage, part: Usage) -> Usage:
    return Usage(*(getattr(whole, key) - getattr(part, key) for key in ("prompt", "completion", "cached", "reasoning")))


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


def _plain(usage: Usage) -> dict[str, int]:
    return {key: getattr(usage, key) for key in ("prompt", "completion", "cached", "reasoning")}
