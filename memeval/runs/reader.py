"""Answer one question: what the reader sees of the recall, its reply, and the sample that records both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import asdict

from memeval import prompts, tokens
from memeval.agent import Item, Recall, Session
from memeval.models import registry, usage
from memeval.models.bound import BoundModel
from memeval.models.usage import Ledger
from memeval.records.folder import Key, text_sha
from memeval.records.rows import RecallRow, SampleRow, TextRow
from memeval.runs.agent_runner import AgentError, AgentRunner, query
from memeval.runs.signals import Row
from memeval.runs.spec import RunSpec
from memeval.runs.times import Times
from memeval.task import Question

Emit = Callable[[Row], None]


@dataclass(frozen=True, slots=True)
class ReaderView:
    """What the reader sees of a recall: `items` in reading order, and their tokens `sizes`. `dropped` items and `lost`
    tokens exceeded the budget."""

    items: tuple[Item, ...] = ()
    sizes: tuple[int, ...] = ()
    dropped: int = 0
    lost: int = 0


def reader_call(
    question: Question,
    items: Sequence[Item] | None,
    name: str,
    texts: Mapping[str, str],
    answer_tokens: int,
    before: str = "",
) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """(messages, parameters) of the reader's call. items: None for no memory block. name: of the reader's prompt;
    texts: part -> replacement text. answer_tokens: the task card's limit for an answer, 0 if it sets none. before: text
    before a question, for a part `question` that has a place for it."""
    memory = None if items is None else [(item.kind, item.text) for item in items]
    system = texts.get("reader") or prompts.READER[name]
    messages = prompts.reader_messages(system, memory, question.text, question.time, question.options, texts, before)
    most = answer_tokens or prompts.ANSWER_TOKENS.get(name, prompts.SHORT_ANSWER_TOKENS)
    return messages, {"temperature": 0.0, "max_tokens": most}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was asked in one context and repeat, before it is answered.

    recall: what the agent returned; None if the reader gets no memory block. recalling: what the recall cost, or why it
    failed. held: tokens of the memory at that time; entries: its content, None if the agent does not list it;
    evidence_held: for each piece of evidence, whether the memory held it (SampleRow). session: of the agent; native:
    the agent, if it answers by itself. rule: the answer of a control without a reader, from the part of the recall that
    fits the budget. not_applicable: why a control has no answer.
    """

    context_id: str
    question: Question
    repeat: int
    recall: Recall | None = None
    recalling: Ledger | None = None
    held: int | None = None
    entries: Sequence[Item] | None = None
    evidence_held: tuple[bool | None, ...] | None = None
    session: Session | None = None
    native: AgentRunner | None = None
    rule: Callable[[Recall], str | None] | None = None
    not_applicable: str | None = None


@dataclass(frozen=True)
class AnswerStage:
    """The answers of one run. Runs that differ only in answer budget, reader, reader prompt or answer repeats are
    stages over one memory and one recall.

    routes: role -> route of its calls (models/bound.py). emit: takes the rows of this run. done: finished samples,
    which are not asked again. phase: of its calls; each of the runs that are answered in one process has its own, so
    that its replies go to its own store.
    """

    spec: RunSpec
    routes: Mapping[str, int]
    emit: Emit
    done: frozenset[Key] = frozenset()
    phase: str = "answer"

    def bound(self, role: str, repeat: int, agent: int = 0) -> BoundModel:
        """The model of a role, for one session. agent: the number of the agent that uses it."""
        model = self.spec.models[role]
        return BoundModel(model.name, role, self.routes[role], model.params, repeat, agent, registry.route(model).kind)

    def open(self, question: Question, repeat: int) -> list[int]:
        """The answer repeats of a question that are still open."""
        return [n for n in range(self.spec.answer_repeats) if (question.id, repeat, n) not in self.done]

    async def answer(self, asked: Asked, number: int) -> None:
        """Answer a question once, by the reader, the agent or a rule, and emit the sample."""
        view = None if asked.recall is None else self.view(asked.recall)
        ledger = Ledger(self.phase, answer=number if asked.native else 0)  # the reader's request holds the number itself
        if asked.recalling is not None:
            ledger.failures.extend(asked.recalling.failures)
            if number == 0:  # the cost of the recall counts once, with the first answer
                ledger.calls.update(asked.recalling.calls)
                ledger.tokens.update(asked.recalling.tokens)
                ledger.services.update(asked.recalling.services)
                ledger.facts += asked.recalling.facts
        text = None
        if not ledger.failures and not asked.not_applicable:
            kept = Recall(list(view.items), asked.recall.order) if view and asked.recall else Recall()
            if asked.rule is not None:
                text = asked.rule(kept)
            elif asked.native is not None:
                text = await self._by_itself(asked.native, asked, kept, ledger)
            else:
                with usage.booking(ledger):
                    text = await self.read(asked.question, view, asked.repeat, number)
        self.sample(asked, number, ledger, view or ReaderView(), text)

    async def _by_itself(self, agent: AgentRunner, asked: Asked, kept: Recall, ledger: Ledger) -> str | None:
        """The agent's own answer; None if it raises."""
        times, text = Times(), None
        try:
            with agent.booking(ledger), times.of("answer", ledger):
                text = await agent.answer(query(asked.question), kept)
        except AgentError as error:
            ledger.failures.append(str(error))
        self.emit(times.row(asked.context_id, asked.repeat))
        return text

    async def read(self, question: Question, view: ReaderView | None, repeat: int, number: int) -> str:
        """The reader's answer from the recall; None means no memory block (closed-book).

        Temperature 0, and at most the task card's number of tokens, unless the role is configured otherwise.
        """
        name = self.spec.task.reader_prompt if view is not None else "closed-book"
        items = None if view is None else view.items
        spec = self.spec
        messages, params = reader_call(question, items, name, spec.prompts, spec.task.answer_tokens, spec.before)
        completion = await self.bound("reader", repeat).generate(messages, sample=number, **params)
        return completion.text

    def view(self, recall: Recall) -> ReaderView:
        """The items of a recall that fit the budget, including separators.

        The lowest-ranked items are dropped. If the first item alone exceeds the budget (a memory of free text), its
        first tokens are kept.
        """
        if not recall.items:
            return ReaderView()
        counter = tokens.counter(self.spec.task.tokenizer)
        sizes = [counter(item.text) for item in recall.items]
        kept: list[tuple[Item, int]] = []
        left, gap = self.spec.budget, counter(prompts.BETWEEN)
        for item, size in zip(recall.items, sizes, strict=True):
            if size > left:
                if not kept:
                    beginning = counter.truncate(item.text, left)
                    kept.append((dataclasses.replace(item, text=beginning), counter(beginning)))
                break
            kept.append((item, size))
            left -= size + gap
        if recall.order == "stream":
            kept.sort(key=lambda pair: min(pair[0].chunks, default=""))
        held = tuple(size for _, size in kept)
        return ReaderView(tuple(item for item, _ in kept), held, len(sizes) - len(kept), sum(sizes) - sum(held))

    def sample(
        self, asked: Asked, number: int, ledger: Ledger, view: ReaderView = ReaderView(), text: str | None = None
    ) -> None:
        """Emit the row of one answer and the texts that it refers to. It contains no time stamp, so equal answers have
        equal rows."""
        items = []
        for item, size in zip(view.items, view.sizes, strict=True):
            sha = text_sha(item.text)
            self.emit(TextRow(sha=sha, text=item.text))
            score = None if item.score is None else round(float(item.score), 6)
            items.append(
                RecallRow(text=sha, chunks=tuple(item.chunks), id=item.id, score=score, tokens=size, kind=item.kind)
            )
        reader = self.spec.agent.card.track == "reader"  # a native agent may recover from a reply that was cut off
        recalling = asked.recalling if number == 0 else None
        self.emit(
            SampleRow(
                question_id=asked.question.id,
                context_id=asked.context_id,
                repeat=asked.repeat,
                answer_repeat=number,
                position=asked.question.position,
                query=asked.question.text,
                answer=None if ledger.failures else text,
                failure=ledger.failures[0] if ledger.failures else None,
                finish_reason=ledger.last.finish_reason if ledger.last and (reader or not text) else None,
                recall=tuple(items),
                recall_tokens=sum(view.sizes),
                recall_dropped=view.dropped,
                recall_lost=view.lost,
                memory_tokens=asked.held,
                **asdict(ledger.spent()),
                facts=ledger.facts,
                recalling=recalling.spent() if recalling and (recalling.calls or recalling.services) else None,
                evidence_held=asked.evidence_held,
                query_used=asked.session.query_used if asked.session and asked.session.visible_query else None,
                not_applicable=asked.not_applicable,
            )
        )
