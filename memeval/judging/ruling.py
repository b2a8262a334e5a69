"""One answer before the judge: the call (or, for a summary, one per aspect), the second try, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from memeval import process
from memeval.cards import digest
from memeval.judging.counts import read_counts, shares
from memeval.judging.offline import OfflineJudge
from memeval.judging.prompts import ASPECTS, judge_calls, prompt_hash
from memeval.judging.verdict import parse_verdict
from memeval.models import registry
from memeval.models.budget import Budget
from memeval.models.cache import open_cache
from memeval.models.completion import Completion, Model, ModelSpec, Request, Usage
from memeval.models.gateway import Gateway
from memeval.models.limits import Limiter
from memeval.models.store import Store
from memeval.records.folder import folder_name
from memeval.records.rows import CallRow
from memeval.task import Question

Generate = Callable[[Request], Awaitable[Completion]]
Case = tuple[Question, str]
"""(question, answer)"""
Seen = Callable[[int, int, int], None]
"""Called after each ruling with (done, total, failed)."""

TRIES = 2
PARAMS: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 2048}
"""Of every judge's calls, unless its spec says otherwise. The tokens leave room for a judge that thinks first."""
POINTS: Mapping[str, Any] = {**PARAMS, "max_tokens": 4096}
"""Of calls that go through a summary point by point: upstream's limit. (Upstream's temperature is 0.1.)"""
LONGEST_REPLY = 2000
"""Characters of the judge's reply that are kept."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """verdict: right, wrong, or failed (the judge gave up), with the reason; n/a for a sample without a result. reply: the
    end of what the judge wrote. Of a summary (verdict right at 1, wrong at 0, else partly), counts: what the judge counted;
    shares: `judge`, its score in [0, 1], and the shares it is made of."""

    verdict: str
    reason: str | None = None
    reply: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hearing:
    """The rulings on all cases, in their order, and what they cost: calls (logical, cached ones included), requests sent
    now, tokens of all calls."""

    rulings: Sequence[Ruling]
    calls: int
    requests: int
    tokens: Usage


async def rule(case: Case, family: str, generate: Generate, params: Mapping[str, Any], prompt: str | None = None) -> Ruling:
    """Judge one answer. A reply that cannot be read is asked for once more, as another sample of the same call. Raises only
    what `generate` raises."""
    question, answer = case
    counting, points = family in ASPECTS, len(question.keypoints)
    sampling = {**(POINTS if counting else PARAMS), **params}
    counts: dict[str, int] = {}
    reply = ""
    for call, messages in judge_calls(family, question, answer, prompt).items():
        read: Callable[[str], Any] = partial(read_counts, call, keypoints=points) if counting else parse_verdict
        found, said, reason = await _ask(call, messages, sampling, generate, read)
        reply = f"{reply}\n\n{said[-LONGEST_REPLY:]}".strip()
        if reason is not None:
            return Ruling("failed", reason, reply)
        if not counting:
            return Ruling(found, reply=reply)
        counts.update(found)
    made = shares(counts, points)
    verdict = "right" if made["judge"] >= 1 else "partly" if made["judge"] > 0 else "wrong"
    return Ruling(verdict, None, reply, counts, made)


async def _ask(
    call: str,
    messages: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    generate: Generate,
    read: Callable[[str], Any],
) -> tuple[Any, str, str | None]:
    """(what was read, what the judge wrote, why it gave up)."""
    said = ""
    for sample in range(TRIES):
        completion = await generate(Request(messages, params=params, sample=sample))
        if completion.error is not None:
            return None, "", f"judge gave up: {completion.error}"
        if completion.finish_reason == "overflow":
            return None, "", "judge gave up: the prompt exceeds its window"
        said = completion.text
        found = None if completion.finish_reason in ("length", "unclosed_think") else read(said)
        if found is not None:
            return found, said, None
    return None, said, f"judge gave up: no {call} in {TRIES} replies"


async def rule_all(
    cases: Sequence[Case],
    family: str,
    generate: Generate,
    params: Mapping[str, Any] | None = None,
    prompt: str | None = None,
    seen: Seen | None = None,
) -> list[Ruling]:
    """All cases at once, in their order; how many calls are in the air is up to `generate`."""
    done = failed = 0

    async def one(case: Case) -> Ruling:
        nonlocal done, failed
        ruling = await rule(case, family, generate, params or {}, prompt)
        done += 1
        failed += ruling.verdict == "failed"
        if seen is not None:
            seen(done, len(cases), failed)
        return ruling

    tasks = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(case)) for case in cases]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def consult(
    judge: ModelSpec,
    cases: Sequence[Case],
    family: str,
    *,
    journal: Path | None,
    prompt: str | None = None,
    concurrency: int = 16,
    use_cache: bool = True,
    seen: Seen | None = None,
    budget: Budget | None = None,
) -> Hearing:
    """Put the cases to a judge through a gateway of its own. journal: where finished calls are kept, if anywhere beside the
    user's cache. budget: what may be sent. Raises StopRun (an endpoint that is down or refuses the key) and UsageError."""

    async def run() -> Hearing:
        calls = Store(journal) if journal else None
        cache = open_cache() if use_cache else None
        rows: list[CallRow] = []
        gateway = Gateway(calls, cache, concurrency, rows.append, opener=_open, budget=budget)
        try:
            rulings = await rule_all(cases, family, partial(gateway.call, judge), judge.params, prompt, seen)
        finally:
            await gateway.close()
            for store in (calls, cache):
                if store is not None:
                    store.close()
        used = sum((Usage(row.prompt, row.completion) for row in rows), Usage())
        return Hearing(rulings, len(rows), gateway.requests, used)

    return process.run(run())


def judge_spec(typed: str, base_url: str | None = None) -> ModelSpec:
    """The judge named by `NAME[@URL]`, or by a literal name behind `base_url`. Raises UsageError for what means nothing."""
    spec = registry.parse_role(typed, base_url)
    registry.route(spec)
    return spec


def scorer_name(judge: ModelSpec, family: str, prompt: str | None = None) -> str:
    """`judge-<name>-<hash8>`: the scores file of this judge with these prompts (and parameters, where it has its own)."""
    name = folder_name(judge.name)
    if len(name) > 80:  # a path, for one: file names have an end
        name = f"{name[:60]}-{digest(judge.name)[:8]}"
    told = prompt_hash(family, prompt)
    return f"judge-{name}-{(digest([told, dict(judge.params)]) if judge.params else told)[:8]}"


def _open(spec: ModelSpec, limiter: Limiter) -> Model:
    """The model behind a judge; `offline` is the string rule that stands in for one."""
    if spec.base_url is None and spec.name == "offline":
        return OfflineJudge()
    return registry.open_model(spec, limiter)
