"""The agent on a few streams of a run, with stand-ins for its models: what it would call, and how long its prompts are.

The engine is the real one (forks, budgets, prompts, the reader), the folder is a scratch folder, and nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from memeval.judging.judge import family_of, judge_samples
from memeval.models import usage
from memeval.models.bound import close_route, open_route
from memeval.models.completion import Completion, ModelSpec, Request
from memeval.models.stand_in import Lengths, StandIn
from memeval.models.usage import Ledger
from memeval.runs.answering import Desk
from memeval.runs.engine import Engine
from memeval.runs.prepare import Prepared
from memeval.runs.spec import RunSpec
from memeval.streams import PackedChunk

Bill = Counter[tuple[str, str]]
"""(role, `calls` | `prompt` | `completion` | `cached`) -> number"""
PRICED = ("prompt", "completion", "cached")
"""Tokens that have a price, as `Usage` names them."""


@dataclass
class DryRun:
    """What some streams cost, in three parts that grow with different things.

    reading: building the memory, from `tokens` of stream in `chunks`. ends: what forks read for themselves, and agents that
    cannot fork from the beginning, at `positions`. asking: recall and answer, `answers` times; judging: what came of it.
    longer: role -> how much longer its replies would be if each used its limit. failures: reasons of questions that failed.
    rebuilt: whether the agent cannot fork.
    """

    stand_ins: Mapping[str, StandIn]
    reading: Bill = field(default_factory=Counter)
    ends: Bill = field(default_factory=Counter)
    asking: Bill = field(default_factory=Counter)
    judging: Bill = field(default_factory=Counter)
    tokens: int = 0
    chunks: int = 0
    positions: int = 0
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    _reread: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def rebuilt(self) -> bool:
        return any(chunks > 1 for chunks in self._reread.values())  # a fork reads one at most: the rest of a chunk

    @property
    def longer(self) -> dict[str, float]:
        return {role: model.most / model.written if model.written else 1.0 for role, model in self.stand_ins.items()}

    def see(self, event: Mapping[str, Any]) -> None:
        """Book one event of the engine."""
        if event["event"] == "operation":
            book(self.reading if event["position"] is None else self.ends, event)
            if event["position"] is not None:
                self._reread[event["context_id"], event["position"]] += event["chunk_tokens"] > 0
        elif event["event"] == "sample":
            book(self.asking, event)
            self.answers += 1
            if event["failure"] is not None:
                self.failures.append(event["failure"])


def book(bill: Bill, line: Mapping[str, Any]) -> None:
    for role, used in line["tokens"].items():
        bill.update({(role, key): used[key] for key in PRICED})
        bill[role, "calls"] += line["calls"].get(role, 0)


def dry_run(
    spec: RunSpec,
    streams: Iterable[Prepared],
    judge: ModelSpec | None = None,
    judge_prompt: str | None = None,
    lengths: Mapping[str, Mapping[str, Lengths]] = MappingProxyType({}),
) -> DryRun:
    """Run the agent on these streams, one after the other, and have its answers judged if there is a judge. lengths: role ->
    those of its replies (models/stand_in.py). Raises UsageError where a run would."""
    return asyncio.run(_run(spec, streams, judge, judge_prompt, lengths))


async def _run(
    spec: RunSpec,
    streams: Iterable[Prepared],
    judge: ModelSpec | None,
    judge_prompt: str | None,
    lengths: Mapping[str, Mapping[str, Lengths]],
) -> DryRun:
    loop = asyncio.get_running_loop()
    models = {**spec.models, **({"judge": judge} if judge else {})}
    stand_ins = {role: StandIn(model, spec.task.tokenizer, lengths.get(role, {})) for role, model in models.items()}
    routes = {role: open_route(stand_ins[role].complete, loop, stand_ins[role].embed) for role in spec.models}
    found = DryRun(stand_ins)
    lines: dict[str, list[dict[str, Any]]] = {"question": [], "sample": []}

    def see(event: dict[str, Any]) -> None:
        found.see(event)
        if judge and event["event"] in lines:
            lines[event["event"]].append(event)

    threads = ThreadPoolExecutor(spec.concurrency + 2, thread_name_prefix="memeval-dry-run")
    engine = Engine(Desk(spec, routes, see), threads, constant="")
    try:
        for prepared in streams:
            await engine.run(prepared, 0)
            found.tokens += sum(chunk.tokens for chunk in visible(prepared))
            found.chunks += len(visible(prepared))
            found.positions += len(prepared.askings)
    finally:
        for route in routes.values():
            close_route(route)
        threads.shutdown(wait=False, cancel_futures=True)
    if judge:
        await _judge(found, lines["sample"], lines["question"], judge_family(spec), judge_prompt)
    return found


async def _judge(
    found: DryRun, samples: list[dict[str, Any]], questions: list[dict[str, Any]], family: str, prompt: str | None
) -> None:
    """A judge who finds every answer right, after one call."""
    stand_in = found.stand_ins["judge"]
    usage.current.set(Ledger("judge"))  # in place of the engine's last one, which would have it read a stream

    async def rule(request: Request) -> Completion:
        completion = await stand_in.complete(request)
        found.judging.update(
            {
                ("judge", "calls"): 1,
                **{("judge", key): getattr(completion.usage, key) for key in PRICED},
            }
        )
        return replace(completion, text="VERDICT: RIGHT", finish_reason="stop")

    by_id = {line["question_id"]: line for line in questions}
    await judge_samples(samples, by_id, family, rule, params=stand_in.spec.params, prompt=prompt)


def judge_family(spec: RunSpec) -> str:
    """Whose prompts the judge of a run has."""
    return family_of({"task": {"judge": spec.task.judge, "source": spec.task.source}})


def visible(prepared: Prepared) -> tuple[PackedChunk, ...]:
    """The chunks before the last position that is asked at: what an agent reads."""
    return prepared.askings[-1].chunks if prepared.askings else ()


def spread(items: Sequence[Any], number: int) -> list[Any]:
    """At most `number` of the items, evenly spaced, the last one always among them."""
    if len(items) <= number:
        return list(items)
    return [items[(index + 1) * len(items) // number - 1] for index in range(number)]
