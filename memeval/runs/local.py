"""The local executor: contexts of one run side by side on this machine's event loop.

Contexts are built ahead in one thread, which waits while AHEAD of them are ready.
"""

from __future__ import annotations

import asyncio
import threading
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

AHEAD = 8
"""Contexts that may be ready and wait for a worker."""


async def execute(engine: Engine, task: Task, work: Sequence[Work], memory: MemoryWriter | None = None) -> None:
    """Run contexts, `concurrency` of them at once; what happens goes to the engine's `emit`. memory: the one that they
    build; None of a control, and where nothing is stored.

    Raises StopRun when the run cannot go on. Cancelling cancels what is in flight.
    """
    spec = engine.spec
    ahead: asyncio.Queue[tuple[PackedContext, int, float] | None] = asyncio.Queue()
    places = threading.Semaphore(AHEAD)
    workers = min(spec.concurrency, max(1, len(work)))
    loop = asyncio.get_running_loop()
    ended = False

    def build() -> None:
        """Build every context in this one thread: changing threads takes longer than building a small context."""
        for ref, repeat in work:
            places.acquire()
            if ended:
                return
            begun = time.monotonic()
            prepared = spec.packed(task, ref)
            loop.call_soon_threadsafe(ahead.put_nowait, (prepared, repeat, time.monotonic() - begun))
        for _ in range(workers):
            loop.call_soon_threadsafe(ahead.put_nowait, None)

    async def worker() -> None:
        while (item := await ahead.get()) is not None:
            places.release()
            prepared, repeat, seconds = item
            engine.emit(ContextBuilt(seconds))
            if memory is not None:
                await memory.wait(engine.wanted(prepared, repeat))
            await engine.run(prepared, repeat, memory.reading_ended if memory else lambda: None)
            engine.emit(ContextDone(prepared.context.id, repeat))

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
