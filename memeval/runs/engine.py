"""Runs contexts through an agent or a control, and answers all runs that share the memory.

Every event is emitted as a row, which the driver writes. Only question rows hold golds, and no agent gets them.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memeval.digests import question_digest
from memeval.models.usage import Step
from memeval.plugins import agent_class
from memeval.records.clean import lost_numbers
from memeval.records.memory import BuiltAt, MemoryWriter
from memeval.records.rows import QuestionRow
from memeval.runs import controls
from memeval.runs.context import ContextRun, together
from memeval.runs.prepare import AskPoint, PackedContext, evidence_rows
from memeval.runs.reader import AnswerStage, Asked
from memeval.runs.signals import ContextBuilt, ContextDone, Event
from memeval.runs.spec import RunSpec
from memeval.task import ContextRef, Question
from memeval.tasks import Task
from memeval.tasks.load import OwnTask

Work = tuple[ContextRef, int]
"""(context, repeat)"""

HELD_UP = 0.02
"""Seconds for which building a context may block the event loop. One thread does most of the work, because two threads
that take turns at computing need half as long again: their data move between the cores' caches."""


@dataclass(frozen=True)
class Engine:
    """The shared objects of all contexts of one memory.

    stages: the runs answered from this memory; they share one recall per question, and each emits its own questions and
    samples. emit: takes the rows of reading, and signals. scratch: a folder for files of agents; the caller deletes it.
    constant: the fixed answer of the control `constant`. on_step: called with the replies of each step of reading.
    """

    stages: Sequence[AnswerStage]
    emit: Callable[[Event], None]
    scratch: Path
    constant: str | None = None
    on_step: Callable[[Step], None] = lambda step: None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def spec(self) -> RunSpec:
        """The common part of all stages: task, agent, the models that write the memory, prompts other than the
        reader's."""
        return self.stages[0].spec

    @functools.cached_property
    def agent(self) -> Any:
        """The agent's class, loaded before an agent can change the working directory."""
        return agent_class(self.spec.agent.card)

    async def execute(self, task: Task, work: Sequence[Work], memory: MemoryWriter | None = None) -> None:
        """Run contexts concurrently, at most `spec.concurrency` of them. memory: the memory that they build; None for a
        control, and if nothing is stored.

        Raises StopRun if the run cannot go on. Cancelling cancels all calls in flight.
        """
        left = iter(work)
        one_at_a_time = asyncio.Lock()
        first, slow = True, isinstance(task, OwnTask)  # a user's code may block

        async def built(ref: ContextRef) -> PackedContext:
            """Build a context. A thread builds the first one, which reads the data; every context of a user's task; and
            all contexts after one that took long."""
            nonlocal first, slow
            async with one_at_a_time:
                in_thread, begun = first or slow, time.monotonic()
                packed = await asyncio.to_thread(self.spec.packed, task, ref) if in_thread else self.spec.packed(task, ref)
                seconds = time.monotonic() - begun
                slow = slow or (seconds > HELD_UP and not first)
                first = False
            self.emit(ContextBuilt(seconds))
            return packed

        async def worker() -> None:
            for ref, repeat in left:
                packed = await built(ref)
                if memory is not None:
                    await memory.wait(self._wanted(packed, repeat))
                await self.run(packed, repeat, memory.reading_ended if memory else lambda: None)
                self.emit(ContextDone(packed.context.id, repeat))

        workers = range(min(self.spec.concurrency, max(1, len(work))))
        await together(worker() for _ in workers)

    def _wanted(self, packed: PackedContext, repeat: int) -> set[BuiltAt]:
        """The prefixes of a context at which open questions are asked."""
        return {
            (packed.context.id, packed.digest, repeat, packed.place(point))
            for point in packed.points
            if any(stage.open(question, repeat) for stage in self.stages for question in point.questions)
        }

    async def run(self, packed: PackedContext, repeat: int, on_read: Callable[[], None] = lambda: None) -> None:
        """Ask every open question of the context, and emit its samples. on_read: called when the agent has read
        everything it needs. Raises StopRun if the whole run must stop."""
        asked = [(point, question) for point in packed.points for question in point.questions]
        for stage in self.stages:
            for point, question in asked:
                stage.emit(question_row(packed, point, question))
        if self.spec.agent.is_control:
            await together(
                self._control(stage, packed, point, question, repeat) for stage in self.stages for point, question in asked
            )
        else:
            folder = self.scratch / str(next(self._numbers))
            await ContextRun(self.stages, self.emit, self.agent, packed, repeat, folder, on_read, self.on_step).run()
            if folder.exists():
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _control(
        self, stage: AnswerStage, packed: PackedContext, point: AskPoint, question: Question, repeat: int
    ) -> None:
        control = controls.BY_NAME[self.spec.agent.card.agent]
        chunks = packed.other if control.elsewhere else point.chunks
        reason = control.lacks(question, chunks)
        asked = Asked(
            packed.context.id,
            question,
            repeat,
            recall=None if reason else control.recall(question, packed.context.units, chunks),
            held=control.held,
            rule=control.rule and (lambda recall: control.rule(question, recall, self.constant)),
            not_applicable=reason,
        )
        for number in stage.open(question, repeat):
            await stage.answer(asked, number)


def question_row(packed: PackedContext, point: AskPoint, question: Question) -> QuestionRow:
    context = packed.context
    return QuestionRow(
        question_id=question.id,
        context_id=context.id,
        digest=question_digest(context, question, packed.digest),
        stream=packed.digest,
        cluster=context.cluster or context.id,
        kind=question.kind,
        answerable=question.answerable,
        text=question.text,
        time=question.time,
        options=tuple(question.options) if question.options else None,
        answers=tuple(question.answers),
        position=question.position,
        evidence=evidence_rows(question, point.chunks, context.units),
        keypoints=tuple(question.keypoints),
        stream_tokens=packed.tokens,
        stream_units=len(context.units),
        stream_chunks=len(packed.stream),
        prefix_chunks=len(point.chunks),
        own_chunks=len(point.chunks) - point.shared,
        meta=dict(context.meta),
        lost=lost_numbers(context.meta),
    )
