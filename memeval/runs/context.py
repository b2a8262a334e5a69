"""One context through an agent: feed it chunk by chunk, fork it where questions are asked, ask the fork, drop the fork."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from memeval.agent import Item, MemoryStats, Recall, ToolResult
from memeval.metrics.held import each_held
from memeval.models.call_facts import quoted
from memeval.models.usage import Ledger, Step
from memeval.plugins import is_foreign
from memeval.records.clean import lost_numbers
from memeval.records.rows import FINISH, READ, OperationRow, ToolRow, TroubleRow
from memeval.runs.agent_runner import BUILT_IN, AgentError, AgentMaker, AgentRunner, CannotFork, query
from memeval.runs.agent_thread import AgentThread
from memeval.runs.prepare import AskPoint, PackedContext, evidence_rows, observed
from memeval.runs.reader import AnswerStage, Asked
from memeval.runs.session import new_session
from memeval.runs.signals import AgentSlow, Event
from memeval.runs.times import Times
from memeval.task import Question
from memeval.tasks.base import normalise
from memeval.tasks.chunking import PackedChunk

FORKS = 4
"""Forks of one context that may be open at once."""

ANSWERS = 64
"""Questions of one context that may wait for the reader at once."""


@dataclass
class ContextRun:
    """Runs an agent in one context and repeat, from `begin` to `close`.

    stages, emit, on_read, on_step: see `Engine`. agent: the class. folder: for the agent's files on disk; the caller
    deletes it.

    A fork is dropped as soon as its questions are recalled; the agent reads on while the reader answers. The fork of an
    agent that answers by itself (track `native`) is kept until it has answered.
    """

    stages: Sequence[AnswerStage]
    emit: Callable[[Event], None]
    agent: Any
    packed: PackedContext
    repeat: int
    folder: Path
    on_read: Callable[[], None] = lambda: None
    on_step: Callable[[Step], None] = lambda step: None
    _forks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(FORKS))
    _unanswered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ANSWERS))

    def __post_init__(self) -> None:
        self.spec = self.stages[0].spec
        self._times = Times()
        self.native = self.spec.agent.card.track == "native"
        foreign = is_foreign(self.agent)  # it may block for ever, like a user's agent
        built_in = str(getattr(self.agent, "__module__", "")).startswith(BUILT_IN) and not foreign
        self.maker = AgentMaker(
            functools.partial(self.agent, **self.spec.agent.params),
            None if built_in else AgentThread(f"memeval-agent-{self.packed.context.id}"),
            self.spec.agent_timeout,
            lambda method: self.emit(AgentSlow(self.packed.context.id, method)),
        )

    async def run(self) -> None:
        """Ask all open questions in order of position. If the agent raises, or a model call fails for good, the questions
        that depend on it become failed samples. StopRun is passed on."""
        left = [point for point in self.packed.points if any(map(self._open, point.questions))]
        try:
            async with asyncio.TaskGroup() as answers:
                await self._read(left, answers)
                if not self.native:
                    self._end_of_reading()
            if self.native:  # its forks have answered, so reading has ended
                self._end_of_reading()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self.emit(self._times.row(self.packed.context.id, self.repeat))
            self.end()

    def end(self) -> None:
        if self.maker.thread is not None:
            self.maker.thread.end()

    async def _read(self, left: list[AskPoint], answers: asyncio.TaskGroup) -> None:
        agent: AgentRunner | None = None
        try:
            agent = await self.begin()
            fed = 0
            while left:
                point = left[0]
                await self.feed(agent, point.chunks[fed : point.shared], None)
                fed = max(fed, point.shared)
                if len(left) == 1:
                    await self._visit(agent, point, point.chunks[point.shared :], answers)
                else:
                    await self._fork(agent, point, answers)
                left.pop(0)
        except AgentError as error:
            self._fail(left, str(error))
        finally:
            if agent is not None:
                await self.close(agent)

    async def _fork(self, agent: AgentRunner, point: AskPoint, answers: asyncio.TaskGroup) -> None:
        """Ask a fork. If the agent cannot be copied, ask a new agent that reads the prefix from its start."""
        await self._forks.acquire()
        folder, chunks, rebuilt = self.folder / f"position-{point.position}", point.chunks[point.shared :], ""
        try:
            fork = await agent.fork(folder)
        except CannotFork as reason:
            fork, chunks, rebuilt = await agent.fresh(folder), point.chunks, str(reason)
        visit = self._visit(fork, point, chunks, answers, fork=True, rebuilt=rebuilt)
        if self.native:
            answers.create_task(visit)
        else:
            await visit

    async def _visit(
        self,
        agent: AgentRunner,
        point: AskPoint,
        rest: Sequence[PackedChunk],
        answers: asyncio.TaskGroup,
        fork: bool = False,
        rebuilt: str = "",
    ) -> None:
        """Feed the rest of the prefix to the agent or its fork, call `finish`, ask the questions, and close a fork."""
        try:
            if rebuilt:
                await self._step(agent, "begin", point.position, rebuilt=rebuilt)
            await self.feed(agent, rest, point.position, rebuilt)
            stats = await self._step(agent, FINISH, self.packed.place(point), rebuilt=rebuilt)
            entries = await agent.entries(stats) if stats else None
            asked = functools.partial(
                Asked,
                self.packed.context.id,
                repeat=self.repeat,
                held=stats.total if stats else None,
                entries=entries,
                session=agent.session,
                native=agent if self.native else None,
            )
            held_of = self._looking(point, entries)
            questions = filter(self._open, point.questions)
            asks = (self._ask(agent, asked(question=question), held_of, answers) for question in questions)
            await together(asks, agent.concurrent)
        except AgentError as error:
            self._fail([point], str(error))
        finally:
            if fork:
                await self.close(agent)
                self._forks.release()

    def _looking(
        self, point: AskPoint, entries: Sequence[Item] | None
    ) -> Callable[[Question], tuple[bool | None, ...] | None]:
        """A function that tells for each piece of a question's evidence whether the entries hold it; it returns None
        without entries."""
        normal = functools.cache(normalise)

        def held_of(question: Question) -> tuple[bool | None, ...] | None:
            if entries is None:
                return None
            evidence = evidence_rows(question, point.chunks, self.packed.context.units)
            return tuple(each_held(question, evidence, entries, normal))

        return held_of

    async def _ask(
        self,
        agent: AgentRunner,
        asked: Asked,
        held_of: Callable[[Question], tuple[bool | None, ...] | None],
        answers: asyncio.TaskGroup,
    ) -> None:
        """Recall once, and answer every open repeat from this recall."""
        await self._unanswered.acquire()
        recall, recalling = Recall(), Ledger("recall")
        try:
            with agent.booking(recalling), self._times.of("recall", recalling):
                recall = await agent.recall(query(asked.question, self.spec.before))
        except AgentError as error:
            recalling.failures.append(str(error))
        asked = replace(asked, recall=recall, recalling=recalling, evidence_held=held_of(asked.question))
        if self.native:
            await self._answer(asked)
        else:
            answers.create_task(self._answer(asked))

    async def _answer(self, asked: Asked) -> None:
        """Answer every open repeat."""
        stages = ((stage, number) for stage in self.stages for number in stage.open(asked.question, self.repeat))
        try:
            at_once = asked.native is None or asked.native.concurrent
            await together((stage.answer(asked, number) for stage, number in stages), at_once)
        finally:
            self._unanswered.release()

    async def begin(self) -> AgentRunner:
        """A new agent after `begin`."""
        stage, number = self.stages[0], self.maker.number
        session = new_session(stage, self.packed, self.repeat, number, self.folder / "agent")
        agent = await self.maker.agent(session)
        await self._step(agent, "begin", None)
        return agent

    async def feed(self, agent: AgentRunner, chunks: Sequence[PackedChunk], position: int | None, rebuilt: str = "") -> None:
        for chunk in chunks:
            await self._step(agent, "observe", position, chunk, rebuilt)

    async def _step(
        self,
        agent: AgentRunner,
        name: str,
        position: int | None,
        chunk: PackedChunk | None = None,
        rebuilt: str = "",
    ) -> MemoryStats | None:
        """Run one method of the agent, record its calls, and emit its row. Returns the tokens that the agent holds
        afterwards.

        Also raises AgentError if a model call failed for good: the chunk is lost, so every later answer would be
        unreliable and reading on would waste money. A failed step has no row, because a resumed run repeats it.
        """
        step = chunk.id if chunk else name
        ledger = Ledger("ingest", place=(self.packed.context.id, self.repeat, step))
        with agent.booking(ledger), self._times.of(name, ledger, chunk.tokens if chunk else 0):
            await getattr(agent, name)(*([observed(chunk)] if chunk else []))
        if ledger.failures:
            raise AgentError(ledger.failures[0])
        replies = tuple(ledger.completions)
        self.on_step(Step(self.packed.context.id, self.repeat, position, step, replies))
        if name == "begin" and not (ledger.calls or ledger.services or ledger.events):
            return None  # `begin` has a row only if it called a model or recorded something
        stats = await agent.memory()
        held = dict(stats.tokens) if stats else None
        results = tuple(_tool_row(event) for event in ledger.events if isinstance(event, ToolResult))
        row = self._row(
            step,
            position=position,
            chunk_tokens=chunk.tokens if chunk else 0,
            units=(chunk.units[0], chunk.units[-1]) if chunk else (),
            results=results,
            held=held,
            **asdict(ledger.spent()),
            unusable=dict(sorted(ledger.unusable.items())),
            facts=ledger.facts,
            reply=_unstored(ledger, results, held) if chunk else None,
            lost=lost_numbers([[result.arguments, result.effect] for result in results]),
            rebuilt=rebuilt,
        )
        self.emit(row)
        return stats

    def _end_of_reading(self) -> None:
        self.emit(self._row(READ))
        self.on_read()

    def _row(self, step: str, **facts: Any) -> OperationRow:
        context = self.packed.context
        return OperationRow(context_id=context.id, digest=self.packed.digest, repeat=self.repeat, chunk=step, **facts)

    def _open(self, question: Question) -> bool:
        return any(stage.open(question, self.repeat) for stage in self.stages)

    def _fail(self, points: Sequence[AskPoint], reason: str) -> None:
        ledger = Ledger("ingest", failures=[f"ingest: {reason}"])
        for stage in self.stages:
            for question in (question for point in points for question in point.questions):
                for number in stage.open(question, self.repeat):
                    stage.sample(Asked(self.packed.context.id, question, self.repeat), number, ledger)

    async def close(self, agent: AgentRunner) -> None:
        try:
            await agent.close()
        except AgentError as error:  # the answers are complete, so this is reported and fails nothing
            self.emit(TroubleRow(context_id=self.packed.context.id, what=str(error)))


async def together(coroutines: Iterable[Coroutine[Any, Any, None]], at_once: bool = True) -> None:
    """Await coroutines, at once or one after the other. The first error cancels the others and is raised as itself."""
    if not at_once:
        for coroutine in coroutines:
            await coroutine
        return
    several = list(coroutines)
    if len(several) == 1:  # most streams have one question, and a task costs more than the call
        return await several[0]
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in several:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _tool_row(event: ToolResult) -> ToolRow:
    return ToolRow(
        name=event.name,
        arguments=dict(event.arguments),
        status=event.status,
        message=event.message,
        effect=None if event.effect is None else dict(event.effect),
    )


def _unstored(ledger: Ledger, results: Sequence[ToolRow], held: Mapping[str, int] | None) -> str | None:
    """The first reply to a chunk from which nothing was stored, for a note: if the agent writes by tools, no call
    changed anything; otherwise its memory is still empty. None if something was stored or nothing is known."""
    if results:
        stored = any(row.status == "ok" for row in results)
    elif ledger.facts.offered:  # nothing was called, or the agent does not record what its calls did
        stored = any(completion.tool_calls for _, completion in ledger.completions)
    else:
        stored = held is None or sum(held.values()) > 0
    return None if stored or not ledger.completions else quoted(ledger.completions[0][1])
