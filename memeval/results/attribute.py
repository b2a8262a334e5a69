"""Where wrong answers were lost, judged by what the same reader answers with other material (validity section 4).

The question of each wrong answer is asked again, first with the gold evidence alone. Still wrong: `read`. Otherwise it is
asked with everything that the memory held. Right: `recall`; wrong: `write`; too long for the reader's window:
`recall-or-write`. An answer counts as right here unless the scorer of the run's headline calls it `wrong`. This works for
every agent, also for those that lost.py cannot follow.

Calls go through the store of the run folder: the same command resumes where it was stopped, and makes no call twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from memeval import process
from memeval.agent import Item
from memeval.cards import AgentCard
from memeval.errors import UsageError
from memeval.judging.judge import Judge, Progress
from memeval.judging.scorer import open_judge
from memeval.models import prices
from memeval.models.calls import CallSettings
from memeval.models.completion import Completion, ModelSpec, Request
from memeval.models.gateway import Gateway
from memeval.models.registry import runs_here
from memeval.models.reply import estimate
from memeval.prompts import before_question
from memeval.protocol import of_agent
from memeval.records.attribution import AttributedAnswer, Attribution
from memeval.records.folder import TASK, Key, RunWriter
from memeval.records.rows import CallRow, QuestionRow, SampleRow, Usage
from memeval.results.lost import ASKED_WORDS
from memeval.results.memory_at import items_at, records_effects, steps_at
from memeval.results.run import Run
from memeval.runs.again import entries_again, model_of
from memeval.runs.reader import reader_call
from memeval.runs.score import score_sample

Right = Callable[[QuestionRow, str, str], Awaitable[bool]]
"""(question, answer, finish reason) -> whether the answer is right, at least in part"""


@dataclass(frozen=True)
class Expected:
    """The most that an attribution takes: wrong answers, calls of the reader, estimated prompt tokens, and USD (None where
    the price is not known)."""

    answers: int
    calls: int
    prompt_tokens: int
    usd: float | None


class Attribute:
    """The attribution of one run. limit: the most wrong answers to ask again, in the order of the run. base_url: where the
    reader is now, if it moved. data: the data folder, for memories that must be built again.

    Raises UsageError for a control, and for a run whose judge's prompt was a file."""

    def __init__(self, run: Run, limit: int | None = None, base_url: str | None = None, data: Path | None = None) -> None:
        if run.manifest.memory is None:
            raise UsageError(f"{run.path}: the control '{run.agent}' has no memory in which an answer could get lost")
        role = "reader" if "reader" in run.manifest.models else "memory"
        self.run = run
        self.reader = model_of(run.manifest, role)
        if base_url is not None:
            self.reader = ModelSpec(self.reader.name, base_url, self.reader.params, tag=self.reader.tag)
        samples = {sample.key: sample for sample in run.samples}
        self.asked = [samples[key] for key in list(run.lost.where)[: limit or None]]
        header = None if run.decides == TASK else run.folder.judge_header(run.decides)
        if header is not None and header.own_prompt:
            raise UsageError(
                f"{run.path}: judged by a prompt file, whose text the run does not keep: no answer can be judged"
            )
        self.header = header
        self.memories, self.memory_source = self._memories(data)

    def expected(self) -> Expected:
        """The estimate, made before anything is sent."""
        used = Usage()
        calls = 0
        for sample in self.asked:
            for items in filter(None, (self._evidence(sample), self.memories.get(sample.key))):
                calls += 1
                used += replace(estimate(self._request(sample, items), ""), completion=10)
        price = prices.price(self.reader.name, self.reader.base_url)
        usd = 0.0 if runs_here(self.reader) else prices.cost(used, price, calls)
        return Expected(len(self.asked), calls, used.prompt, usd)

    def attribution(self, settings: CallSettings, progress: Progress | None = None) -> Attribution:
        """Ask the reader again and write scores/attribution.json. progress: called after each answer: (done, all, failed).
        Raises StopRun, after which the same command resumes."""
        calls: list[CallRow] = []

        async def work() -> tuple[list[AttributedAnswer], int]:
            stores = {"": self.run.folder.calls_file}
            gateway = Gateway(settings, stores, calls.append)
            judges = Gateway(settings, stores, opener=open_judge) if self.header else None
            right = partial(self._judged, judges) if judges else self._scored
            try:
                return await self._all(gateway, right, progress), gateway.requests
            finally:
                await gateway.close()
                if judges:
                    await judges.close()

        with RunWriter(self.run.folder):
            answers, requests = process.run(work())
            counts = Counter(row.where for row in answers)
            found = Attribution(
                reader=self.reader.name,
                scorer=self.run.decides,
                wrong=self.run.lost.wrong,
                counts={where: counts[where] for where in ASKED_WORDS if counts[where]},
                answers=tuple(answers),
                memory=self.memory_source,
                calls=len(calls),
                requests=requests,
                tokens=sum((Usage(row.prompt, row.completion) for row in calls), Usage()),
            )
            self.run.folder.write_attribution(found)
        return found

    async def _all(self, gateway: Gateway, right: Right, progress: Progress | None) -> list[AttributedAnswer]:
        done: list[AttributedAnswer] = []

        async def one(sample: SampleRow) -> AttributedAnswer:
            found = await self._one(sample, partial(gateway.call, self.reader), right)
            done.append(found)
            if progress is not None:
                progress(len(done), len(self.asked), sum(row.where == "failed" for row in done))
            return found

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(sample)) for sample in self.asked]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _one(
        self, sample: SampleRow, call: Callable[[Request], Awaitable[Completion]], right: Right
    ) -> AttributedAnswer:
        question_id, repeat, answer_repeat = sample.key
        found = partial(AttributedAnswer, question_id=question_id, repeat=repeat, answer_repeat=answer_repeat)
        row, evidence, memory = self.run.questions[question_id], self._evidence(sample), self.memories.get(sample.key)
        if not evidence:
            return found(where="n/a")
        reply = await call(self._request(sample, evidence))
        found = partial(found, with_evidence=reply.text)
        if reply.error:
            return found(where="failed")
        if not await right(row, reply.text, reply.finish_reason):
            return found(where="read")
        if memory is None:
            return found(where="not recalled")
        reply = await call(self._request(sample, memory))
        found = partial(found, with_memory=reply.text)
        if reply.error:
            return found(where="failed")
        if reply.finish_reason == "overflow":
            return found(where="recall-or-write")
        return found(where="recall" if await right(row, reply.text, reply.finish_reason) else "write")

    def _evidence(self, sample: SampleRow) -> list[Item]:
        """The gold evidence of a question, each piece under the title of its document."""
        items = []
        for piece in self.run.questions[sample.question_id].evidence:
            title = next((title for title in piece.titles if title not in piece.text), "")
            items.append(Item(f"{title}\n{piece.text}".strip()))
        return items

    def _request(self, sample: SampleRow, items: Sequence[Item]) -> Request:
        task, prompts = self.run.identity("task"), self.run.identity("prompts")
        name = task.get("reader_prompt", "reader")
        agent = AgentCard(self.run.manifest.agent, self.run.identity("agent")["agent"])
        prefix = of_agent(task.get("recall_prefix", {}), agent)
        before = before_question(prompts, str(task.get("params", {}).get("data_source")), prefix)
        question = self.run.questions[sample.question_id].question()
        messages, params = reader_call(question, items, name, prompts, task.get("answer_tokens", 0), before)
        return Request(messages, params={**params, **self.reader.params}, repeat=sample.repeat, sample=sample.answer_repeat)

    def _memories(self, data: Path | None) -> tuple[Mapping[Key, Sequence[Item]], str]:
        """(sample -> everything that its memory held, how that is known or why it is not)"""
        run = self.run
        if records_effects(run.operations):
            return {
                sample.key: items_at(steps_at(run, run.questions[sample.question_id], sample.repeat))
                for sample in self.asked
            }, "operations"
        try:
            found = process.run(entries_again(run.folder, {sample.key[:2] for sample in self.asked}, data))
        except UsageError as error:
            return {}, str(error)
        if not found:
            return {}, "the agent does not list what it holds"
        return {sample.key: found[sample.key[:2]] for sample in self.asked if sample.key[:2] in found}, "replay"

    async def _scored(self, row: QuestionRow, answer: str, finish_reason: str) -> bool:
        """Whether the answer is right by the metric of the headline; an unanswerable question must be declined."""
        by = self.run.rules
        sample = SampleRow(
            question_id=row.question_id,
            context_id=row.context_id,
            repeat=0,
            answer=answer,
            failure=None,
            finish_reason=finish_reason,
        )
        rules = dataclasses.replace(by, metrics=(by.headline, "abstention"), native=False)
        _, verdict, _ = score_sample(sample, row, {}, rules)
        return verdict in ("right", "partly")

    async def _judged(self, gateway: Gateway, row: QuestionRow, answer: str, finish_reason: str) -> bool:
        assert self.header is not None
        judge = ModelSpec(self.header.judge, self.header.base_url, self.header.params)
        ruling = Judge(self.header.family, partial(gateway.call, judge), self.header.params)
        found = await ruling.case(row.question(), answer)
        return found.verdict in ("right", "partly")
