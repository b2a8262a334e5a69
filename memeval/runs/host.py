"""An agent under the engine: plain or async methods, optional methods and forks behind one interface."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import shutil
import traceback
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from memeval.agent import Chunk, MemoryStats, Query, Recall, Session
from memeval.errors import StopRun, UsageError
from memeval.models.bound import EmbeddingFailed
from memeval.runs import checked

Handed = TypeVar("Handed")


class AgentError(Exception):
    """An agent raised: the questions that depend on it fail. The message is one line with the place in the agent's code."""


class Host:
    """One agent object and its session. Plain methods run in a worker thread, one at a time per context."""

    def __init__(
        self, make: Callable[[], Any], session: Session, threads: Executor, lock: asyncio.Lock, agent: Any = None
    ) -> None:
        self._make = make
        self.session = session
        self._threads = threads
        self._lock = lock
        if agent is None:
            try:
                agent = make()
            except BaseException as error:
                raise AgentError(_describe(error, "__init__")) from error
        self.agent = agent
        self._waits: dict[str, bool] = {}  # method -> whether it is async; to find out takes longer than most methods

    @property
    def concurrent(self) -> bool:
        return bool(getattr(self.agent, "concurrent", False))

    def has(self, method: str) -> bool:
        return callable(getattr(self.agent, method, None))

    async def call(self, name: str, *args: Any) -> Any:
        """Run one method. Raises AgentError with place and reason for whatever the agent raises."""
        method = getattr(self.agent, name)
        try:
            if name not in self._waits:
                self._waits[name] = inspect.iscoroutinefunction(method)
            if self._waits[name]:
                return await method(*args)
            if getattr(self.agent, "inline", False):
                return _plainly(method, *args)
            async with self._lock:
                context = copy_context()  # carries the ledger into the thread
                run = partial(context.run, _plainly, method, *args)
                result = await asyncio.get_running_loop().run_in_executor(self._threads, run)
            return await result if inspect.isawaitable(result) else result
        except (StopRun, UsageError, GeneratorExit):
            raise
        except EmbeddingFailed as error:  # not the agent's doing
            raise AgentError(f"embedder: {error}") from error
        except BaseException as error:  # sys.exit() in an agent must not end the run either
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # the run's doing, not the agent's
            raise AgentError(_describe(error, name)) from error

    async def begin(self) -> None:
        await self.call("begin", self.session)

    async def observe(self, chunk: Chunk) -> None:
        await self.call("observe", chunk)

    async def finish(self) -> None:
        if self.has("finish"):
            await self.call("finish")

    async def close(self) -> None:
        if self.has("close"):
            await self.call("close")

    async def recall(self, query: Query) -> Recall:
        return _handed(checked.recall, await self.call("recall", query))

    async def answer(self, query: Query, recall: Recall) -> str:
        return _handed(checked.answer, await self.call("answer", query, recall))

    async def memory(self) -> MemoryStats | None:
        """Tokens held now; None where the agent does not say."""
        if not self.has("memory"):
            return None
        return _handed(checked.memory, await self.call("memory"))

    async def fork(self, scratch: Path) -> Host | None:
        """A copy that can be fed and asked without changing this one, with a copy of its workdir at `scratch`; None where
        the agent cannot be copied."""
        if hasattr(self.agent, "fork") and self.agent.fork is None:
            return None
        if self.session.scratch.exists():
            shutil.copytree(self.session.scratch, scratch, dirs_exist_ok=True)
        session = dataclasses.replace(self.session, scratch=scratch)
        if self.has("fork"):
            agent = await self.call("fork", session)
            if agent is None:
                return None
        else:
            try:
                # whatever the agent kept of its session becomes the child's
                agent = copy.deepcopy(self.agent, {id(self.session): session})
            except (TypeError, copy.Error, RecursionError):
                return None
            except Exception as error:
                raise AgentError(_describe(error, "__deepcopy__")) from error
        return Host(self._make, session, self._threads, self._lock, agent)

    def fresh(self, scratch: Path) -> Host:
        """A new agent, not begun yet: how an agent that cannot fork is rebuilt for an earlier position."""
        shutil.rmtree(scratch, ignore_errors=True)
        return Host(self._make, dataclasses.replace(self.session, scratch=scratch), self._threads, self._lock)


def _plainly(method: Callable[..., Any], *args: Any) -> Any:
    """No future takes a StopIteration (who waits for it would wait for ever), and a GeneratorExit ends who awaits it."""
    try:
        return method(*args)
    except (StopIteration, GeneratorExit) as error:
        raise RuntimeError(type(error).__name__) from error


def _handed(check: Callable[[Any], Handed], value: Any) -> Handed:
    try:
        return check(value)
    except TypeError as error:
        raise AgentError(str(error)) from None


def _describe(error: BaseException, method: str) -> str:
    if isinstance(error.__cause__, (StopIteration, GeneratorExit)):
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = " ".join(str(error).split())[:200]
    return f"agent raised {type(error).__name__}({text}) in {method}{place}"
