"""A thread with its own event loop for the agent of one context.

All methods of the agent and of its forks run there. So thread-bound handles, `asyncio.get_event_loop()` and blocking
code work, and slow down only their own context. The loop is stopped while a plain method runs, so the method may run
the loop itself. Between plain methods the loop runs, and with it every task of the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import queue
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

ENDING = 1.0
"""Seconds in which the agent's tasks must end after its context has ended."""

Outcome = tuple[Any, BaseException | None]
"""(return value, exception) of a method."""

# The thread holds the number of a call, not its future: no reference leads from there into the run, where the golds are.
_waiting: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[Outcome]]] = {}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Call:
    number: int
    context: Context
    method: Callable[..., Any]
    args: tuple[Any, ...] = ()

    def outcome(self) -> Outcome:
        try:
            return self.context.run(self.method, *self.args), None
        except BaseException as error:  # sys.exit() in an agent must not end the thread either
            return None, error


class AgentThread:
    """The thread. It is a daemon, like the threads that the agent starts from it, so the process does not wait for
    them.

    stuck: names the method that has not returned in time. The thread is then not used any more.
    """

    def __init__(self, name: str) -> None:
        self.stuck: str | None = None
        self._inbox: queue.SimpleQueue[_Call | int | None] = queue.SimpleQueue()
        self._tasks: dict[int, asyncio.Task[Outcome]] = {}
        self._new_loop()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, method: Callable[..., Any], *args: Any, side_by_side: bool = False) -> Outcome:
        """Run a method, plain or async, with the caller's context variables.

        side_by_side: a plain method runs in a thread made for this call. Cancelling cancels an async method; a plain one
        that has begun goes on, and its result is dropped.
        """
        loop = asyncio.get_running_loop()
        call = _Call(next(_numbers), copy_context(), method, args)
        future: asyncio.Future[Outcome] = loop.create_future()
        _waiting[call.number] = loop, future
        if side_by_side and not inspect.iscoroutinefunction(method):
            threading.Thread(target=self._aside, args=(call,), daemon=True).start()
        else:
            self._put(call)
        try:
            return await future
        finally:
            if _waiting.pop(call.number, None):
                self._put(call.number)

    def end(self) -> None:
        """Let the thread end after the calls that it was given."""
        self._put(None)

    def _new_loop(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._news = asyncio.Event()

    def _put(self, item: _Call | int | None) -> None:
        self._inbox.put(item)
        with contextlib.suppress(RuntimeError):  # the agent has closed the loop; the inbox is read before the next one runs
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._news.set()

    def _run(self) -> None:
        while (item := self._next()) is not None:
            if isinstance(item, int):  # the number of a call that was cancelled
                if item in self._tasks:
                    self._tasks[item].cancel()
            elif item.number in _waiting:
                asyncio.set_event_loop(self._loop)  # `asyncio.run`, where the agent used it, has left none
                self._call(item)
        left = asyncio.all_tasks(self._loop)
        for task in left:
            if not task.cancelling():  # else it is already cleaning up
                task.cancel()
        with contextlib.suppress(BaseException):
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=ENDING))  # tasks may have resources to close
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _next(self) -> _Call | int | None:
        """The next item of the inbox. The loop runs until there is one."""
        while True:
            if self._loop.is_closed():
                self._new_loop()
            self._news.clear()
            with contextlib.suppress(queue.Empty):
                return self._inbox.get_nowait()
            with contextlib.suppress(BaseException):  # a task of the agent may stop the loop, or leave it by sys.exit()
                self._loop.run_until_complete(self._news.wait())

    def _call(self, call: _Call) -> None:
        value, error = call.outcome()
        if error is not None or not inspect.isawaitable(value):
            return _deliver(call.number, (value, error))
        try:
            task = self._loop.create_task(_awaited(value), context=call.context)
        except RuntimeError as closed:
            return _deliver(call.number, (None, closed))
        self._tasks[call.number] = task
        task.add_done_callback(partial(self._finished, call.number))

    def _finished(self, number: int, task: asyncio.Task[Outcome]) -> None:
        del self._tasks[number]
        _deliver(number, (None, asyncio.CancelledError()) if task.cancelled() else task.result())

    def _aside(self, call: _Call) -> None:
        value, error = call.outcome()
        if error is None and inspect.isawaitable(value):
            self._put(replace(call, method=lambda: value, args=()))
        else:
            _deliver(call.number, (value, error))


async def _awaited(value: Any) -> Outcome:
    try:
        return await value, None
    except BaseException as error:
        return None, error


def _deliver(number: int, outcome: Outcome) -> None:
    loop, future = _waiting.pop(number, (None, None))
    if loop is not None and future is not None:
        with contextlib.suppress(RuntimeError):  # the run has ended
            loop.call_soon_threadsafe(_settle, future, outcome)


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
