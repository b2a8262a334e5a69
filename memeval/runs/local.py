"""The local executor: contexts of one run side by side on this machine's event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from memeval.records.memory import MemoryWriter
from memeval.runs.engine import Engine
from memeval.runs.prepare import PackedContext
from memeval.runs.signals import ContextBuilt, ContextDone
from memeval.task import ContextRef
from memeval.tasks import Task

Work = tuple[ContextRef, int]
"""(context, repeat)"""

HELD_UP = 0.02
"""Seconds that building a context may hold up the event loop. Most take one: two threads that compute by turns take half as
long again, because the processor's caches follow the thread."""


async def execute(engine: Engine, task: Task, work: Sequence[Work], memory: MemoryWriter | None = None) -> None:
    """Run contexts, `concurrency` of them at once; what happens goes to the engine's `emit`. memory: the one that they
    build; None of a control, and where nothing is stored.

    Raises StopRun when the run cannot go on. Cancelling cancels what is in flight.
    """
    spec = engine.spec
    left = iter(work)
    one_at_a_time = asyncio.Lock()
    first, slow = True, False

    async def built(ref: ContextRef) -> PackedContext:
        """The first context, with which the data are read, is built in a thread; so is each after one that took long."""
        nonlocal first, slow
        async with one_at_a_time:
            in_thread, begun = first or slow, time.monotonic()
            prepared = await asyncio.to_thread(spec.packed, task, ref) if in_thread else spec.packed(task, ref)
            seconds = time.monotonic() - begun
            slow = slow or (seconds > HELD_UP and not first)
            first = False
        engine.emit(ContextBuilt(seconds))
        return prepared

    async def worker() -> None:
        for ref, repeat in left:
            prepared = await built(ref)
            if memory is not None:
                await memory.wait(engine.wanted(prepared, repeat))
            await engine.run(prepared, repeat, memory.reading_ended if memory else lambda: None)
            engine.emit(ContextDone(prepared.context.id, repeat))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(spec.concurrency, max(1, len(work)))):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
