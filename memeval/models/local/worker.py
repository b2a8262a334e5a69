"""One worker thread for a local model, which processes items that arrive together in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
GATHER = 0.01  # seconds after the first item in which others may join it


class Worker(Generic[Item, Result]):
    """`work(items)` receives up to `most` items in order of arrival and returns a result for each, or raises for all.
    Items come from one event loop at a time."""

    def __init__(self, name: str, work: Callable[[list[Item]], Sequence[Result]], most: int) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._work = work
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._current: list[tuple[Item, asyncio.Future[Result]]] = []
        self._serving: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> Result:
        """Process one item; returns its result. An item whose caller was cancelled is skipped."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, answered))
        if self._serving is None or self._serving.done() or self._serving.get_loop() is not loop:
            self._serving = loop.create_task(self._serve())
        return await answered

    def unwanted(self) -> bool:
        """Whether every caller of the current batch was cancelled, so that it may stop early."""
        return bool(self._current) and all(answered.done() for _, answered in self._current)

    def close(self) -> None:
        """End the thread: at once if it is idle, otherwise after the current batch."""
        self._thread.shutdown(cancel_futures=True)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if len(self._waiting) < self._most:
                await asyncio.sleep(GATHER)
            wanted = [pair for pair in self._waiting if not pair[1].done()]
            self._current, self._waiting = wanted[: self._most], wanted[self._most :]
            batch = self._current
            try:
                results = await loop.run_in_executor(self._thread, self._work, [item for item, _ in batch])
            except Exception as error:
                for _, answered in batch:
                    if not answered.done():
                        answered.set_exception(error)
            else:
                for (_, answered), result in zip(batch, results, strict=True):
                    if not answered.done():
                        answered.set_result(result)
