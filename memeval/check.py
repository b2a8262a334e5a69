"""Test on small bundled streams whether an agent keeps the contract, and what it may claim. No key is needed.

Required: it runs; recall changes nothing; the order of questions does not matter; contexts are isolated; a fork equals
an agent that saw only the prefix, and feeding a fork does not change the original; nothing that the agent holds leads
to gold (a walk over the object graph). Every agent that was created is closed; a `close` that raises is a finding.
"""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

from memeval import plugins, tokens
from memeval.agent import Query
from memeval.models.completion import ModelSpec
from memeval.models.usage import Ledger
from memeval.records.rows import TroubleRow
from memeval.runs.agent_runner import AgentError, AgentRunner, CannotFork
from memeval.runs.context import ContextRun
from memeval.runs.engine import Engine
from memeval.runs.prepare import PackedContext, prepare
from memeval.runs.reader import AnswerStage
from memeval.runs.run_context import RunContext
from memeval.runs.signals import AgentSlow, Event
from memeval.runs.spec import AgentSpec, RunSpec
from memeval.task import Context, ContextRef, Evidence, Question
from memeval.tasks import Settings
from memeval.wording import counted

OFFLINE = ModelSpec("offline")
GOLD = (Context, Question, Evidence, ContextRef, PackedContext, AnswerStage, Engine, ContextRun)
"""Types that must not be reachable from an agent or its session."""

Texts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one test. ok: None if the test does not apply to this agent."""

    probe: str
    ok: bool | None
    says: str


async def check(
    spec: AgentSpec,
    embedder: ModelSpec = OFFLINE,
    agent_timeout: float | None = None,
    slow: Callable[[str], None] = lambda method: None,
) -> tuple[list[Finding], list[str]]:
    """The findings, and what the agent may claim. agent_timeout: seconds for one method, None for no limit. slow:
    called with the name of a method that has not returned after a minute."""
    findings: list[Finding] = []
    async with contextlib.AsyncExitStack() as opened:
        bench = _Bench(spec, embedder, agent_timeout, slow, opened)
        await opened.enter_async_context(bench.run)
        for probe in (_runs, _pure_recall, _question_order, _chunk_order, _isolation, _fork, _leaks):
            try:
                ok, says = await probe(bench)
            except AgentError as error:
                ok, says = False, str(error)
            findings.append(Finding(probe.__name__.strip("_").replace("_", " "), ok, says))
            if findings[0].ok is False:
                break
        claims = await _claims(bench, findings)
    if bench.trouble:
        return [*findings, Finding("close", False, bench.trouble[0])], []
    return findings, claims


class _Bench:
    """Two bundled streams, and new agents that read them. opened: closes every agent that was created, and its thread.
    trouble: errors while closing."""

    def __init__(
        self,
        spec: AgentSpec,
        embedder: ModelSpec,
        timeout: float | None,
        slow: Callable[[str], None],
        opened: contextlib.AsyncExitStack,
    ) -> None:
        self.trouble: list[str] = []
        self._slow = slow
        card = replace(plugins.find_task("synth-10k"), documents=16, chunk_tokens=400, reader_budget=4000)
        task = plugins.source(card)().load(card, Settings())
        count = tokens.counter(card.tokenizer)
        refs = task.refs(task.order[:2])
        self.contexts = [prepare(task.context(ref), ref, card.chunk_tokens, count) for ref in refs]
        models = {"memory": OFFLINE, "reader": OFFLINE, "embedder": embedder}
        self.run = RunContext(RunSpec("check", card, Settings(), spec, models, {}, agent_timeout=timeout))
        self._opened = opened
        self._made = 0

    def emit(self, event: Event) -> None:
        if isinstance(event, AgentSlow):
            self._slow(event.method)
        elif isinstance(event, TroubleRow):
            self.trouble.append(event.what)

    async def begin(self, number: int) -> tuple[ContextRun, AgentRunner]:
        """A new agent after `begin`, with its run in one of the two contexts."""
        self._made += 1
        stage = self.run.stage(lambda row: None)
        agent_class = plugins.agent_class(self.run.spec.agent.card)
        folder = self.run.scratch / str(self._made)
        run = ContextRun((stage,), self.emit, agent_class, self.contexts[number], 0, folder)
        self._opened.callback(run.end)
        agent = await run.begin()
        self._opened.push_async_callback(run.close, agent)
        return run, agent

    async def fork(self, run: ContextRun, agent: AgentRunner) -> AgentRunner:
        """A fork of the agent. Raises CannotFork."""
        fork = await agent.fork(run.folder / "fork")
        self._opened.push_async_callback(run.close, fork)
        return fork

    async def read(self, number: int, chunks: slice = slice(None), reverse: bool = False) -> AgentRunner:
        """A new agent that has read some chunks of a context, after `finish`."""
        run, agent = await self.begin(number)
        stream = self.contexts[number].stream[chunks]
        await run.feed(agent, stream[::-1] if reverse else stream, None)
        await agent.finish()
        return agent

    def queries(self, number: int) -> list[Query]:
        """The questions of both contexts, this context's first."""
        questions = [q for context in self.contexts for q in context.context.questions]
        own = self.contexts[number].context.questions
        ordered = sorted(questions, key=lambda question: question not in own)
        return [Query(question.text, question.time, question.options) for question in ordered]


async def _recalled(agent: AgentRunner, query: Query) -> Texts:
    with agent.booking(Ledger("recall")):
        return tuple(item.text for item in (await agent.recall(query)).items)


Probed = tuple[bool | None, str]
"""`Finding.ok` and `Finding.says`."""


async def _runs(bench: _Bench) -> Probed:
    first = await bench.read(0)
    query = bench.queries(0)[0]
    with first.booking(Ledger("recall")):
        again = await first.recall(query)
        if bench.run.spec.agent.card.track == "native":
            await first.answer(query, again)
    return True, f"{counted(len(bench.contexts[0].stream), 'chunk')}, {counted(len(again.items), 'item')} recalled"


async def _pure_recall(bench: _Bench) -> Probed:
    agent = await bench.read(0)
    one, two = bench.queries(0)[:2]
    before = await _recalled(agent, one)
    await _recalled(agent, two)
    same = before == await _recalled(agent, one) == await _recalled(agent, one)
    return same, "" if same else "recall returned something else when asked again"


async def _question_order(bench: _Bench) -> Probed:
    one, two = bench.queries(0)[:2]
    forward, backward = await bench.read(0), await bench.read(0)
    first = {query: await _recalled(forward, query) for query in (one, two)}
    second = {query: await _recalled(backward, query) for query in (two, one)}
    same = first == second
    says = "" if same else "two agents that read the same stream recall differently, or the order of questions matters"
    return same, says


async def _chunk_order(bench: _Bench) -> Probed:
    query = bench.queries(0)[0]
    forward = await _recalled(await bench.read(0), query)
    backward = await _recalled(await bench.read(0, reverse=True), query)
    return True, "does not matter to it" if set(forward) == set(backward) else "matters to it"


async def _isolation(bench: _Bench) -> Probed:
    query = bench.queries(0)[0]
    alone = await _recalled(await bench.read(0), query)
    begun = [await bench.begin(0), await bench.begin(1)]
    longest = max(len(context.stream) for context in bench.contexts)
    for index in range(longest):
        for (run, agent), context in zip(begun, bench.contexts, strict=True):
            await run.feed(agent, context.stream[index : index + 1], None)
    for _, agent in begun:
        await agent.finish()
    same = alone == await _recalled(begun[0][1], query)
    return same, "" if same else "reading another context at the same time changed what is recalled"


async def _fork(bench: _Bench) -> Probed:
    stream, query = bench.contexts[0].stream, bench.queries(0)[0]
    half = len(stream) // 2
    run, agent = await bench.begin(0)
    await run.feed(agent, stream[:half], None)
    try:
        fork = await bench.fork(run, agent)
    except CannotFork as reason:
        return None, f"cannot be forked ({reason}): rebuilt for every position of a question"
    await run.feed(fork, stream[half : half + 1], None)
    await fork.finish()
    prefix = await bench.read(0, slice(0, half + 1))
    if await _recalled(fork, query) != await _recalled(prefix, query):
        return False, "a fork recalls something else than an agent that saw only the prefix"
    await run.feed(agent, stream[half:], None)
    await agent.finish()
    same = await _recalled(agent, query) == await _recalled(await bench.read(0), query)
    return same, "equals an agent that saw only the prefix" if same else "feeding a fork changed the original"


async def _leaks(bench: _Bench) -> Probed:
    agent = await bench.read(0)
    await _recalled(agent, bench.queries(0)[0])
    for thing, path in reachable({"agent": agent.agent, "session": agent.session}):
        if isinstance(thing, GOLD):
            return False, f"{path} is a {type(thing).__name__}: gold must not reach an agent"
    return True, "no gold within reach"


async def _claims(bench: _Bench, findings: list[Finding]) -> list[str]:
    outcome = {finding.probe: finding.ok for finding in findings}
    if any(ok is False for ok in outcome.values()):
        return []
    agent = await bench.read(0)
    with agent.booking(Ledger("recall")):
        recall = await agent.recall(bench.queries(0)[0])
    known = {chunk.id for chunk in bench.contexts[0].stream}
    sourced = bool(recall.items) and all(item.chunks and known.issuperset(item.chunks) for item in recall.items)
    claims = []
    if outcome.get("fork"):
        claims.append("one ingest for all positions (forks)")
    if sourced:
        claims.append("evidence metrics and attribution (every item names its chunks)")
    if await agent.memory() is not None:
        claims.append("a memory size")
    if agent.concurrent:
        claims.append("several questions at once")
    if agent.has("answer"):
        claims.append("native answers (track: native)")
    return claims


_OPAQUE = (types.ModuleType, type, str, bytes, int, float, complex, type(None), asyncio.AbstractEventLoop, types.CodeType)


def reachable(roots: Mapping[str, Any], limit: int = 1_000_000) -> Iterator[tuple[Any, str]]:
    """Every object reachable by attributes, slots, containers, closures, partials and bound methods, with its path. The
    walk stops at modules and classes, except for what the agent's own class holds."""
    seen: set[int] = set()
    queue = deque((value, name) for name, value in roots.items())
    for name, value in roots.items():
        queue.extend((held, f"{name}.{key}") for key, held in vars(type(value)).items() if not key.startswith("__"))
    while queue and len(seen) < limit:
        thing, path = queue.popleft()
        if isinstance(thing, _OPAQUE) or id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing, path
        queue.extend(_parts(thing, path))


def _parts(thing: Any, path: str) -> Iterable[tuple[Any, str]]:
    if isinstance(thing, Mapping):
        for key, value in list(thing.items()):
            yield key, f"{path} key"
            yield value, f"{path}[{key!r}]"
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        for index, value in enumerate(list(thing)):
            yield value, f"{path}[{index}]"
    if isinstance(thing, types.FunctionType):
        for cell in thing.__closure__ or ():
            yield cell.cell_contents, f"{path} (closure)"
    elif isinstance(thing, types.MethodType):
        yield thing.__self__, f"{path}.__self__"
    elif isinstance(thing, partial):
        yield from ((value, f"{path} (partial)") for value in (thing.func, *thing.args, *thing.keywords.values()))
    names = {name for cls in type(thing).__mro__ for name in _slots(cls)}
    for name, value in [*getattr(thing, "__dict__", {}).items(), *((name, getattr(thing, name, None)) for name in names)]:
        yield value, f"{path}.{name}"


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
