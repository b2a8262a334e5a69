"""One agent reading one stream: fed chunk by chunk, forked where questions are asked, asked, dropped."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval import tokens
from memeval.agent import Query, Recall, Session, ToolResult
from memeval.models import usage
from memeval.models.usage import Ledger
from memeval.plugins import agent_class
from memeval.records.rows import OperationRow, ToolRow, TroubleRow
from memeval.runs import checked
from memeval.runs.answering import Desk
from memeval.runs.host import AgentError, Host
from memeval.runs.prepare import Asking, Prepared, observed
from memeval.streams import PackedChunk
from memeval.task import Question


@dataclass
class Ingest:
    """The life of an agent in one context and repeat. folder: for what it leaves on disk, made when it is needed, deleted
    by the caller. built: called when only recall and answers of the last position are left."""

    desk: Desk
    prepared: Prepared
    repeat: int
    folder: Path
    threads: Executor
    built: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Ask all open questions, in order of position. An agent's error or a call that failed for good makes the
        questions that depend on it failed samples; StopRun passes through."""
        left = [
            asking
            for asking in self.prepared.askings
            if any(self.desk.open(question, self.repeat) for question in asking.questions)
        ]
        host: Host | None = None
        try:
            host = await self.begin()
            fed = 0
            while left:
                asking = left[0]
                await self.feed(host, asking.chunks[fed : asking.shared], None)
                fed = max(fed, asking.shared)
                await self._visit(host, asking, last=len(left) == 1)
                left.pop(0)
        except AgentError as error:
            self._fail(left, str(error))
        finally:
            if host is not None:
                await self._close(host)

    async def _visit(self, host: Host, asking: Asking, last: bool) -> None:
        """Show the rest of the prefix to a fork (the last position needs none), finish it, ask there, drop it."""
        rest, branch = asking.chunks[asking.shared :], host
        name = f"position-{asking.position}"
        if not last:
            fork = await host.fork(self.folder / name)
            if fork is None:  # it cannot be copied: rebuilt from the start, seeing the prefix only
                fork = host.fresh(self.folder / name)
                await self._step(fork, "begin", asking.position)
                rest = asking.chunks
            branch = fork
        try:
            try:
                await self.feed(branch, rest, asking.position)
                await self._step(branch, "finish", asking.position)
            except AgentError as error:
                self._fail([asking], str(error))
                return
            if last:
                self.built()
            stats = await branch.memory()
            held = stats.total if stats else None
            asks = (self._ask(branch, question, held) for question in asking.questions)
            if branch.concurrent:
                await together(asks)
            else:
                for ask in asks:
                    await ask
        finally:
            if branch is not host:
                await self._close(branch)

    async def _ask(self, host: Host, question: Question, held: int | None) -> None:
        """Recall once, answer as often as is still open."""
        numbers = self.desk.open(question, self.repeat)
        if not numbers:
            return
        query = Query(question.text, question.time, question.options)
        recall, recalling = Recall(), Ledger("recall")
        try:
            with usage.booking(recalling):
                recall = await host.recall(query)
        except AgentError as error:
            recalling.failures.append(str(error))
        shown = self.desk.shown(recall)
        for number in numbers:
            ledger = Ledger("answer", failures=list(recalling.failures))
            if number == 0:  # the price of recalling is paid once
                ledger.calls.update(recalling.calls)
                ledger.tokens.update(recalling.tokens)
            text = None
            if not ledger.failures:
                try:
                    with usage.booking(ledger):
                        if self.desk.spec.agent.card.track == "native":
                            text = await host.answer(query, Recall(list(shown.items), recall.order))
                        else:
                            text = await self.desk.read(question, shown, self.repeat, number)
                except AgentError as error:
                    ledger.failures.append(str(error))
            used = host.session.query_used if host.session.visible_query is not None else None
            self.desk.sample(
                self.prepared.context.id, question, self.repeat, number,
                ledger=ledger, shown=shown, text=text, held=held, query_used=used,
                recalling=recalling if number == 0 else None,
            )  # fmt: skip

    async def begin(self) -> Host:
        spec, context = self.desk.spec, self.prepared.context
        visible = next((q for q in context.questions if q.id == self.prepared.ref.visible_question), None)
        session = Session(
            models=self.desk.bound(self.repeat),
            seed=_seed(context.id, self.repeat),
            scratch=self.folder / "agent",
            budget=spec.recall_budget,
            count=functools.partial(_count, spec.task.tokenizer),
            record=_record,
            prompts=dict(spec.prompts),
            visible_query=Query(visible.text, visible.time, visible.options) if visible else None,
        )
        make = functools.partial(agent_class(spec.agent.card), **spec.agent.params)
        host = Host(make, session, self.threads, asyncio.Lock())
        await self._step(host, "begin", None)
        return host

    async def feed(self, host: Host, chunks: Sequence[PackedChunk], position: int | None) -> None:
        for chunk in chunks:
            await self._step(host, "observe", position, chunk)

    async def _step(self, host: Host, name: str, position: int | None, chunk: PackedChunk | None = None) -> None:
        """One method of the agent, booked, and its line for operations.jsonl. Raises AgentError also when a model call
        failed for good: what depends on a lost chunk is lost, and later chunks need not be paid for. The line of a failed
        step is left out, because a resumed run does the step again."""
        ledger = Ledger("ingest")
        with usage.booking(ledger):
            await getattr(host, name)(*([observed(chunk)] if chunk else []))
        if ledger.failures:
            raise AgentError(ledger.failures[0])
        if chunk is None and not (ledger.calls or ledger.events):
            return  # begin and finish leave a line only when they did something
        stats, spent = await host.memory(), ledger.spent()
        self.desk.emit(
            OperationRow(
                context_id=self.prepared.context.id,
                repeat=self.repeat,
                position=position,
                chunk=chunk.id if chunk else name,
                chunk_tokens=chunk.tokens if chunk else 0,
                units=(chunk.units[0], chunk.units[-1]) if chunk else (),
                results=tuple(_tool_row(event) for event in ledger.events if isinstance(event, ToolResult)),
                held=dict(stats.tokens) if stats else None,
                calls=spent.calls,
                tokens=spent.tokens,
                unusable=dict(sorted(ledger.unusable.items())),
            )
        )

    def _fail(self, askings: Sequence[Asking], reason: str) -> None:
        for asking in askings:
            for question in asking.questions:
                for number in self.desk.open(question, self.repeat):
                    ledger = Ledger("ingest", failures=[f"ingest: {reason}"])
                    self.desk.sample(self.prepared.context.id, question, self.repeat, number, ledger=ledger)

    async def _close(self, host: Host) -> None:
        try:
            await host.close()
        except AgentError as error:  # its answers stand: a failing close is worth a line, not a result
            self.desk.emit(TroubleRow(context_id=self.prepared.context.id, what=str(error)))


async def together(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines at once; the first error cancels the others and is raised as itself."""
    several = list(coroutines)
    if len(several) == 1:  # a stream's only question needs no task of its own
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


def _record(event: ToolResult) -> None:
    """`session.record`: into the ledger of the step at hand."""
    usage.current.get().events.append(checked.event(event))


def _count(tokenizer: str, text: str) -> int:
    """`session.count`. A function of a name, so that an agent that walks it finds no cache of other texts."""
    return tokens.counter(tokenizer)(text)


def _seed(context_id: str, repeat: int) -> int:
    """For the random choices of an agent. The run's own seed is not in it: that one is for questions and streams alone."""
    return int.from_bytes(hashlib.sha256(f"{context_id}\0{repeat}".encode()).digest()[:6], "big")
