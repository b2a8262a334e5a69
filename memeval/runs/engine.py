"""Runs contexts through an agent or a control, and has the runs answered that share the memory.

Everything that happens is emitted as rows, which the driver writes. Golds are in question rows only, which no agent gets.
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
"""Seconds that building a context may hold up the event loop. Most take one: two threads that compute by turns take half as
long again, because the processor's caches follow the thread."""


@dataclass(frozen=True)
class Engine:
    """What the contexts of one memory share.

    stages: the runs that are answered from it; one recall per question serves them all, and each emits its own questions and
    samples. emit: takes the rows of reading, and signals. scratch: a folder for what agents write to disk; its maker deletes
    it. constant: the fixed answer of the control `constant`. on_step: given what each step of reading called.
    """

    stages: Sequence[AnswerStage]
    emit: Callable[[Event], None]
    scratch: Path
    constant: str | None = None
    on_step: Callable[[Step], None] = lambda step: None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def spec(self) -> RunSpec:
        """What all stages have in common: task, agent, the models that write the memory, prompts other than the reader's."""
        return self.stages[0].spec

    @functools.cached_property
    def agent(self) -> Any:
        """The class, looked up before an agent can change the working directory."""
        return agent_class(self.spec.agent.card)

    async def execute(self, task: Task, work: Sequence[Work], memory: MemoryWriter | None = None) -> None:
        """Run contexts side by side, the spec's `concurrency` of them at once. memory: the one that they build; None of a
        control, and where nothing is stored.

        Raises StopRun when the run cannot go on. Cancelling cancels what is in flight.
        """
        left = iter(work)
        one_at_a_time = asyncio.Lock()
        first, slow = True, isinstance(task, OwnTask)  # a user's code may wait for anything

        async def built(ref: ContextRef) -> PackedContext:
            """The first context, with which the data are read, is built in a thread; so is each of a user's task, and each
            after one that took long."""
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
        """The prefixes of a context whose memory is asked."""
        return {
            (packed.context.id, packed.digest, repeat, packed.place(point))
            for point in packed.points
            if any(stage.open(question, repeat) for stage in self.stages for question in point.questions)
        }

    async def run(self, packed: PackedContext, repeat: int, read: Callable[[], None] = lambda: None) -> None:
        """Ask every open question of the context; emit its samples. read: called when an agent has
        read all that it is to read. Raises StopRun when the whole run must stop."""
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
            await ContextRun(self.stages, self.emit, self.agent, packed, repeat, folder, read, self.on_step).run()
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
