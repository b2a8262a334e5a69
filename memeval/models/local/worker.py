"""One thread that works on what arrives, as much at a time as arrives together: what a local model runs in."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
GATHER = 0.01  # seconds after the first item in which others may join it
PATIENCE = 10.0  # seconds that `close` waits for the work under way


@dataclass(eq=False)
class _Job(Generic[Item]):
    item: Item
    answered: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    dropped: bool = False


class Worker(Generic[Item, Result]):
    """`work(items)` gets up to `most` items in the order of their arrival and returns a result for each, or raises for all.

    Items may come from several event loops. The thread starts with the first item.
    """

    def __init__(self, name: str, work: Callable[[list[Item]], Sequence[Result]], most: int) -> None:
        self._name = name
        self._work = work
        self._most = most
        self._queue: queue.SimpleQueue[_Job[Item] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._current: list[_Job[Item]] = []
        self._closing = False

    async def do(self, item: Item) -> Result:
        """The result for one item. When the caller is cancelled, nobody waits for it any more."""
        if self._closing:
            raise RuntimeError(f"{self._name}: closed")
        loop = asyncio.get_running_loop()
        job = _Job(item, loop.create_future(), loop)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._queue.put(job)
        try:
            result: Result = await job.answered
            return result
        except asyncio.CancelledError:
            job.dropped = True
            raise

    def unwanted(self) -> bool:
        """Whether nobody waits for the work under way: it may stop at the next chance."""
        return self._closing or all(job.dropped for job in self._current)

    def close(self) -> None:
        """End the thread: at once when idle, else when the work under way lets it."""
        self._closing = True
        self._queue.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        while not self._closing:
            jobs = self._next()
            self._current = jobs = [job for job in jobs if not job.dropped]
            if not jobs or self._closing:
                continue
            try:
                results: Sequence[Any] = self._work([job.item for job in jobs])
                for job, result in zip(jobs, results, strict=True):
                    _tell(job, result, None)
            except Exception as error:
                for job in jobs:
                    _tell(job, None, error)
            self._current = []

    def _next(self) -> list[_Job[Item]]:
        """Wait for an item, then for a moment, and take what is there. Nothing when the thread is to end."""
        jobs = [self._queue.get()]
        if jobs[0] is not None and self._queue.qsize() < self._most - 1:
            time.sleep(GATHER)
        with contextlib.suppress(queue.Empty):
            while len(jobs) < self._most:
                jobs.append(self._queue.get_nowait())
        return [job for job in jobs if job is not None]


def _tell(job: _Job[Any], result: Any, error: Exception | None) -> None:
    def settle() -> None:
        if job.answered.done():
            return
        if error is None:
            job.answered.set_result(result)
        else:
            job.answered.set_exception(error)

    with contextlib.suppress(RuntimeError):  # its loop is closed: nobody is left to be told
        job.loop.call_soon_threadsafe(settle)
