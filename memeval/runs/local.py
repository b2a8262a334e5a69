"""The local executor: contexts of one run side by side on this machine's event loop.

The models are the driver's (run_context.py); what happens leaves as rows and signals. Contexts are built ahead in
one thread, which waits while AHEAD of them are ready.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from memeval import tokens
from memeval.errors import StopRun
from memeval.runs.controls import with_other
from memeval.runs.engine import Engine
from memeval.runs.prepare import PackedContext, prepare
from memeval.runs.reader import SampleKey
from memeval.runs.run_context import RunContext
from memeval.runs.signals import Built, ContextDone, ContextRead, Ended, Event, RunRow, Stopped
from memeval.task import ContextRef
from memeval.tasks import Task

Work = tuple[ContextRef, int]
"""(context, repeat)"""

AHEAD = 8
"""Contexts that may be ready and wait for a worker."""


async def execute(
    run: RunContext,
    task: Task,
    work: Sequence[Work],
    done: Sequence[frozenset[SampleKey]] = (),
    constant: str | None = None,
) -> AsyncGenerator[Event, None]:
    """Run contexts and yield rows and signals as they come; the last is `Ended`. done: of each run of the context, the
    samples that are not asked again; () asks all.

    `Stopped` comes when the run cannot go on (StopRun). Cancelling the iterator cancels what is in flight.
    """
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    emit, spec = events.put_nowait, run.spec

    async def drive() -> None:
        try:
            if work and "reader" in spec.models and spec.agent.card.track == "reader":
                run.gateway.open(spec.models["reader"])  # if its key is missing, stop before streams are read and paid for
            stages = [
                run.stage(lambda row, number=number: emit(RunRow(number, row)), keys, number)  # type: ignore[misc]
                for number, keys in enumerate(done or (frozenset(),))
            ]
            await _contexts(run, run.engine(stages, emit, constant), task, work, emit)
        except StopRun as stop:
            emit(Stopped(str(stop)))
        finally:
            emit(Ended(run.gateway.requests, run.gateway.first_call_at))
            emit(None)

    driver = asyncio.create_task(drive())
    try:
        while (event := await events.get()) is not None:
            yield event
        await driver
    finally:
        driver.cancel()
        await asyncio.gather(driver, return_exceptions=True)


async def _contexts(
    run: RunContext, engine: Engine, task: Task, work: Sequence[Work], emit: Callable[[Event], None]
) -> None:
    """`concurrency` contexts open at once, fed by one thread that builds ahead."""
    ahead: asyncio.Queue[tuple[PackedContext, int] | None] = asyncio.Queue()
    places = threading.Semaphore(AHEAD)
    workers = min(run.spec.concurrency, max(1, len(work)))
    loop = asyncio.get_running_loop()
    ended = False

    def ready(prepared: PackedContext, repeat: int, seconds: float) -> None:
        emit(Built(prepared.context.id, seconds))
        ahead.put_nowait((prepared, repeat))

    def build() -> None:
        """Build every context in this one thread: changing threads takes longer than building a small context."""
        card = run.spec.task
        count = tokens.counter(card.tokenizer)
        for ref, repeat in work:
            places.acquire()
            if ended:
                return
            begun = time.monotonic()
            prepared = prepare(task.context(ref), ref, run.spec.chunk_tokens, count, card.one_unit_per_chunk)
            prepared = with_other(prepared, task, run.spec.agent.card.agent, count)
            loop.call_soon_threadsafe(ready, prepared, repeat, time.monotonic() - begun)
        for _ in range(workers):
            loop.call_soon_threadsafe(ahead.put_nowait, None)

    async def worker() -> None:
        while (item := await ahead.get()) is not None:
            places.release()
            prepared, repeat = item
            if run.turn is not None:
                await run.turn.wait(engine.wanted(prepared, repeat))
            await engine.run(prepared, repeat, lambda: emit(ContextRead()))
            emit(ContextDone(prepared.context.id, repeat))

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(build))
            for _ in range(workers):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        ended = True
        places.release()  # the thread may be waiting
