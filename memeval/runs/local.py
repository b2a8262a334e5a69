"""The local executor: contexts of one run side by side on this machine's event loop.

`execute(spec, refs)` makes its live objects (task, models, threads) itself and yields plain events, so that an executor on
other machines can share everything else. Contexts are built ahead in one thread, as far as a bounded queue lets it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from memeval import cards, tokens
from memeval.errors import StopRun
from memeval.models.bound import close_route, open_route
from memeval.models.budget import Budget
from memeval.models.cache import Cache
from memeval.models.gateway import Gateway
from memeval.models.run_journal import RunJournal
from memeval.models.turns import Turns
from memeval.runs.engine import Engine
from memeval.runs.prepare import PackedContext, prepare
from memeval.runs.reader import AnswerStage, SampleKey
from memeval.runs.siblings import Siblings
from memeval.runs.signals import Built, ContextDone, Ended, Event, Stopped
from memeval.runs.spec import RunSpec
from memeval.sources import Task
from memeval.task import ContextRef

Work = tuple[ContextRef, int]
"""(context, repeat)"""

AHEAD = 64_000_000
"""Characters of stream text that may wait in the queue of prepared contexts."""

PAUSE = 0.02
"""Seconds for which events gather before they are handed on: writing them must not keep the next request waiting."""

CONNECTING = 8
"""Rounds of the event loop in which a first request finds its connection and leaves."""

BUILD_SLICE = 0.005
"""Seconds of building per hop into the building thread."""


async def execute(
    spec: RunSpec,
    task: Task,
    work: Sequence[Work],
    done: frozenset[SampleKey] = frozenset(),
    constant: str | None = None,
    budget: Budget | None = None,
) -> AsyncGenerator[Event, None]:
    """Run contexts and yield rows and signals as they come; the last is `Ended`.

    `Stopped` comes when the run cannot go on (StopRun). Cancelling the iterator cancels
    what is in flight.
    """
    events: list[Event] = []
    loop = asyncio.get_running_loop()
    emit = events.append
    journal = RunJournal(spec.folder / "calls.sqlite")
    cache = Cache() if spec.use_cache else None
    siblings = Siblings(spec.folder, cards.digest(spec.ingest_identity()), journal)
    gateway = Gateway(journal, cache, spec.concurrency, emit, budget=budget, elsewhere=siblings.get)
    routes = {
        role: open_route(partial(gateway.call, model), loop, partial(gateway.embed, model))
        for role, model in spec.models.items()
    }
    scratch = tempfile.TemporaryDirectory(prefix="memeval-", ignore_cleanup_errors=True)
    engine = Engine((AnswerStage(spec, routes, emit, done),), emit, Path(scratch.name), constant)

    async def drive() -> None:
        try:
            if work and "reader" in spec.models and spec.agent.card.track == "reader":
                gateway.open(spec.models["reader"])  # should it lack its key, no stream is read and paid for
            await _contexts(engine, task, work, emit, siblings)
        except StopRun as stop:
            emit(Stopped(str(stop)))
        finally:
            emit(Ended(gateway.counters.requests, gateway.counters.first_call_at))

    driver = asyncio.create_task(drive())
    try:
        while events or not driver.done():
            await asyncio.wait((driver,), timeout=PAUSE)
            some = events.copy()
            events.clear()
            for event in some:
                yield event
        await driver
    finally:
        driver.cancel()
        await asyncio.gather(driver, return_exceptions=True)
        await gateway.close()
        siblings.close()
        if cache is not None:
            cache.close()
        for route in routes.values():
            close_route(route)
        scratch.cleanup()
        journal.close()


async def _contexts(
    engine: Engine, task: Task, work: Sequence[Work], emit: Callable[[Event], None], siblings: Siblings
) -> None:
    """`concurrency` contexts open at once, fed by one building thread that works ahead."""
    spec = engine.spec
    ahead = _Ahead(4 * spec.concurrency)
    builder = ThreadPoolExecutor(1, thread_name_prefix="memeval-build")
    loop = asyncio.get_running_loop()
    workers = min(spec.concurrency, max(1, len(work)))
    starts = Turns(CONNECTING)

    async def build() -> None:
        left = list(reversed(work))
        while left:
            await ahead.room()
            for prepared, repeat, seconds in await loop.run_in_executor(builder, _build_some, task, left, spec):
                units = tuple(hash(unit.text) for unit in prepared.context.units) if repeat == 0 else ()
                emit(Built(prepared.context.id, seconds, units))
                ahead.put((prepared, repeat))
        for _ in range(workers):
            ahead.put(None)

    async def worker() -> None:
        item = await ahead.get()
        await starts.mine()
        while item is not None:
            prepared, repeat = item
            if spec.agent.is_arm:  # it has no memory to share
                await engine.run(prepared, repeat)
            else:
                async with siblings.turn(prepared.context.id, repeat) as built:
                    await engine.run(prepared, repeat, built)
            emit(ContextDone(prepared.context.id, repeat))
            item = await ahead.get()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(build())
            for _ in range(workers):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        builder.shutdown(wait=False, cancel_futures=True)


class _Ahead:
    """PackedContext contexts that wait for a worker: at most `number` of them, and few when their streams are long."""

    def __init__(self, number: int) -> None:
        self._queue: asyncio.Queue[tuple[PackedContext, int] | None] = asyncio.Queue()
        self._number = number
        self._characters = 0
        self._taken = asyncio.Event()

    async def room(self) -> None:
        while self._queue.qsize() >= self._number or self._characters >= AHEAD:
            self._taken.clear()
            await self._taken.wait()

    def put(self, item: tuple[PackedContext, int] | None) -> None:
        self._characters += item[0].characters if item else 0
        self._queue.put_nowait(item)

    async def get(self) -> tuple[PackedContext, int] | None:
        item = await self._queue.get()
        self._characters -= item[0].characters if item else 0
        self._taken.set()
        return item


def _build_some(task: Task, left: list[Work], spec: RunSpec) -> list[tuple[PackedContext, int, float]]:
    """Take work off the end of the list and build it, for a few milliseconds: one large context, or many small ones."""
    built = []
    begun = time.monotonic()
    while left and time.monotonic() - begun < BUILD_SLICE:
        ref, repeat = left.pop()
        started = time.monotonic()
        count = tokens.counter(spec.task.tokenizer)
        prepared = prepare(task.context(ref), ref, spec.task.chunk_tokens, count, spec.task.one_unit_per_chunk)
        built.append((prepared, repeat, time.monotonic() - started))
    return built
