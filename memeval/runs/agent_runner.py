"""The agent as the engine calls it: one interface for plain and async methods, optional methods and forks."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from memeval.agent import Chunk, Item, MemoryStats, Query, Recall, Session
from memeval.errors import ForeignFailed, StopRun, UsageError
from memeval.memory.entries import Entries
from memeval.models import usage
from memeval.models.bound import EmbeddingFailed
from memeval.models.usage import Ledger
from memeval.plugins import is_foreign
from memeval.runs import agent_thread, handed_over
from memeval.runs.agent_thread import AgentThread
from memeval.source_files import PACKAGE, is_local, local_frames
from memeval.task import Question

Handed = TypeVar("Handed")
BUILT_IN = "memeval.agents."
SLOW = 60.0
"""Seconds after which a method that has not returned is reported."""
CLOSING = 1.0
"""Seconds that `close` may take while the run is being stopped."""


class AgentError(Exception):
    """An agent raised an exception, so the questions that depend on it fail. The message is one line with the place in
    the agent's code."""


class CannotFork(Exception):
    """The agent cannot be copied. The message names the attribute that prevents it."""


def query(question: Question, prefix: str = "") -> Query:
    """The question as the agent sees it, after the prefix of its task (the card's `recall_prefix`)."""
    text = f"{prefix}\n\n{question.text}" if prefix else question.text
    return Query(text, question.time, question.options)


@dataclasses.dataclass(frozen=True)
class AgentMaker:
    """Makes the agents of one context and repeat, and runs their methods.

    thread: the thread that runs the methods; None is the driver's loop, for built-in agents, which never block it.
    timeout: seconds for one method, None for no limit. slow: called with the name of a method that has not returned
    after SLOW seconds. number: identifies these agents when their calls are counted.
    """

    make: Callable[[], Any]
    thread: AgentThread | None
    timeout: float | None = None
    slow: Callable[[str], None] = lambda method: None
    number: int = dataclasses.field(default_factory=usage.new_agent)

    async def agent(self, session: Session) -> AgentRunner:
        """A new agent, not begun yet."""
        return AgentRunner(self, session, await self.run("__init__", self.make))

    async def run(self, name: str, function: Callable[..., Any], *args: Any, side_by_side: bool = False) -> Any:
        """Run code of the agent. Any exception becomes an AgentError with place and reason."""
        value, error = await self._outcome(name, function, *args, side_by_side=side_by_side)
        if error is None:
            return value
        if isinstance(error, (StopRun, UsageError, CannotFork)):
            raise error
        if isinstance(error, EmbeddingFailed):  # the model's failure, not the agent's
            raise AgentError(f"embedder: {error}") from error
        if isinstance(error, ForeignFailed):  # the message already says what is wrong; a line of our code would not help
            raise AgentError(str(error)) from error
        raise AgentError(_describe(error, name, function)) from error

    async def _outcome(
        self, name: str, function: Callable[..., Any], *args: Any, side_by_side: bool
    ) -> agent_thread.Outcome:
        thread = self.thread
        if thread is None:
            try:
                value = function(*args)
                return (await value if inspect.isawaitable(value) else value), None
            except Exception as error:
                return None, error
        if thread.stuck:
            raise AgentError(thread.stuck)
        notice = asyncio.get_running_loop().call_later(SLOW, self.slow, name)
        try:
            async with asyncio.timeout(self.timeout):
                return await thread.call(function, *args, side_by_side=side_by_side)
        except TimeoutError:
            thread.stuck = f"agent's {name} had not returned after {self.timeout:g} s (--agent-timeout)"
            raise AgentError(thread.stuck) from None
        finally:
            notice.cancel()


@dataclasses.dataclass(frozen=True)
class AgentRunner:
    """One agent object and its session.

    The methods of one context run one after the other. Exceptions: async methods may wait at the same time, and `recall`
    and `answer` of a class with `concurrent = True` run at the same time.
    """

    maker: AgentMaker
    session: Session
    agent: Any

    @property
    def concurrent(self) -> bool:
        return bool(getattr(self.agent, "concurrent", False))

    def has(self, method: str) -> bool:
        if is_foreign(self.agent):  # the class has every method; `begin` tells which of them the program has
            return bool(self.agent.has(method))
        return callable(getattr(self.agent, method, None))

    def booking(self, ledger: Ledger) -> AbstractContextManager[None]:
        """Record in `ledger` what the agent calls and spends in this block."""
        return usage.booking(ledger, self.maker.number)

    async def call(self, name: str, *args: Any) -> Any:
        """Run one method. Raises AgentError for any exception of the agent."""
        side_by_side = self.concurrent and name in ("recall", "answer")
        return await self.maker.run(name, getattr(self.agent, name), *args, side_by_side=side_by_side)

    async def begin(self) -> None:
        await self.call("begin", self.session)

    async def observe(self, chunk: Chunk) -> None:
        await self.call("observe", chunk)

    async def finish(self) -> None:
        if self.has("finish"):
            await self.call("finish")

    async def recall(self, query: Query) -> Recall:
        return self._checked(handed_over.recall, await self.call("recall", query), "recall")

    async def answer(self, query: Query, recall: Recall) -> str:
        return self._checked(handed_over.answer, await self.call("answer", query, recall), "answer")

    async def memory(self) -> MemoryStats | None:
        """Tokens held now; None if the agent does not report them."""
        stats = await self.call("memory") if self.has("memory") else None
        return None if stats is None else self._checked(handed_over.memory, stats, "memory")

    async def entries(self, stats: MemoryStats) -> Sequence[Item] | None:
        """Everything the memory holds, if the agent lists it. Read it before the agent goes on."""
        if isinstance(stats.entries, Entries):  # built-in agents build the list on demand
            return self._checked(handed_over.entries, await self.maker.run("memory", list, stats.entries), "memory")
        return stats.entries

    def _checked(self, check: Callable[[Any], Handed], value: Any, method: str) -> Handed:
        """Check the return value of `method`. Raises AgentError, with the method's place, if it has another type."""
        try:
            return check(value)
        except TypeError as error:
            raise AgentError(f"{error}{_defined(getattr(self.agent, method))}") from None

    async def close(self) -> None:
        """Close the agent. If the run is being stopped, wait at most CLOSING seconds, because the agent may never
        return."""
        task = asyncio.current_task()
        stuck = self.maker.thread is not None and self.maker.thread.stuck
        if self.has("close") and not stuck:
            try:
                async with asyncio.timeout(CLOSING if task is not None and task.cancelling() else None):
                    await self.call("close")
            except TimeoutError:
                return

    async def fork(self, scratch: Path) -> AgentRunner:
        """A copy that can be fed and asked without changing this agent; `scratch` gets a copy of its workdir. Raises
        CannotFork."""
        if getattr(self.agent, "fork", ...) is None:
            raise CannotFork("the class sets fork = None")
        if self.session.scratch.exists():
            await asyncio.to_thread(shutil.copytree, self.session.scratch, scratch, dirs_exist_ok=True)
        session = dataclasses.replace(self.session, scratch=scratch)
        if self.has("fork"):
            agent = await self.call("fork", session)
            if agent is None:
                raise CannotFork("its fork() returned None")
        else:
            # references to the agent's session become references to the child's
            agent = await self.maker.run("__deepcopy__", _copied, self.agent, {id(self.session): session})
        return AgentRunner(self.maker, session, agent)

    async def fresh(self, scratch: Path) -> AgentRunner:
        """A new agent before `begin`, for agents that cannot fork: they are built anew for each earlier position."""
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        return await self.maker.agent(dataclasses.replace(self.session, scratch=scratch))


def _copied(agent: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(agent, dict(memo))
    except (TypeError, copy.Error, RecursionError) as error:
        raise CannotFork(f"{_uncopied(agent, memo)}: {' '.join(str(error).split())[:200]}") from error


def _uncopied(agent: Any, memo: dict[int, Any]) -> str:
    """The attribute that cannot be copied, or else the class."""
    for name, value in getattr(agent, "__dict__", {}).items():
        try:
            copy.deepcopy(value, dict(memo))
        except (TypeError, copy.Error, RecursionError):
            return f"{type(agent).__name__}.{name}"
    return type(agent).__name__


def _describe(error: BaseException, method: str, function: Callable[..., Any]) -> str:
    if isinstance(error.__cause__, (StopIteration, GeneratorExit)):
        error = error.__cause__
    own = local_frames(error)
    place = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else _defined(function)
    text = " ".join(str(error).split())[:200]
    return f"agent raised {type(error).__name__}({text}) in {method}{place}"


def _defined(method: Callable[..., Any]) -> str:
    """` at FILE:LINE`, the place where a user's method is defined; empty for other code."""
    code = getattr(inspect.unwrap(method), "__code__", None)
    if code is None or not is_local(path := Path(code.co_filename).resolve()) or path.is_relative_to(PACKAGE):
        return ""
    return f" at {path.name}:{code.co_firstlineno}"
