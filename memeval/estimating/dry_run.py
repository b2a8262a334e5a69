"""The agent on a few streams of a run, with stand-ins for its models: what it would call, and how long its prompts are.

The engine is the real one (forks, budgets, prompts, the reader), the folder is a scratch folder, and nothing is sent.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import msgspec

from memeval import process, tokens
from memeval.judging.judge import family_of, judge_samples
from memeval.judging.prompts import ASPECTS
from memeval.models.completion import Completion, Request
from memeval.models.stand_in import ANSWER, Lengths, StandIn
from memeval.models.usage import Ledger, booking
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, Spent
from memeval.runs.plan import Planned
from memeval.runs.prepare import PackedContext
from memeval.runs.run_context import RunContext
from memeval.runs.signals import AgentSlow, Row
from memeval.runs.spec import RunSpec
from memeval.tasks.chunking import PackedChunk

Bill = Counter[tuple[str, str]]
"""(role, `calls` | `prompt` | `completion` | `cached`) -> number"""
PRICED = ("prompt", "completion", "cached")
"""Tokens that have a price, as `Usage` names them."""
COUNTING = 300
"""Tokens, on average, of what a judge writes when it goes through a summary. No judge's own number: a round figure."""
ASSENT = 'VERDICT: RIGHT\n{"fluency": 1, "recall": 0, "precision": 0, "sentence_count": 0}'
"""A reply in which a judge of any family finds what it is read for."""


@dataclass
class DryRun:
    """What some streams cost, in three parts that grow with different things.

    reading: building the memory, from `tokens` of stream in `chunks`. ends: what forks read for themselves, and agents that
    cannot fork from the beginning, at `positions`. recalling, answering: `answers` times; judging: what came of it.
    shown: chunks read, those of ends included. longer: role -> how much longer its replies would be if each used its limit.
    failures: reasons of questions that failed. rebuilt: whether the agent cannot fork.
    """

    stand_ins: Mapping[str, StandIn]
    reading: Bill = field(default_factory=Counter)
    ends: Bill = field(default_factory=Counter)
    recalling: Bill = field(default_factory=Counter)
    answering: Bill = field(default_factory=Counter)
    judging: Bill = field(default_factory=Counter)
    tokens: int = 0
    chunks: int = 0
    positions: int = 0
    shown: int = 0
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    _reread: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def rebuilt(self) -> bool:
        return any(chunks > 1 for chunks in self._reread.values())  # a fork reads one at most: the rest of a chunk

    @property
    def longer(self) -> dict[str, float]:
        return {role: model.most / model.written if model.written else 1.0 for role, model in self.stand_ins.items()}

    def see(self, event: Row | AgentSlow) -> None:
        """Book one row of the engine."""
        if isinstance(event, OperationRow):
            book(self.reading if event.position is None else self.ends, event)
            self.shown += event.chunk_tokens > 0
            if event.position is not None:
                self._reread[event.context_id, event.position] += event.chunk_tokens > 0
        elif isinstance(event, SampleRow):
            recalled: Bill = Counter()
            book(recalled, event.recalling or Spent())
            book(self.answering, event)  # what recall cost is in it
            self.answering.subtract(recalled)
            self.recalling.update(recalled)
            self.answers += 1
            if event.failure is not None:
                self.failures.append(event.failure)


def book(bill: Bill, row: OperationRow | SampleRow | Spent) -> None:
    for role, used in row.tokens.items():
        bill.update({(role, key): getattr(used, key) for key in PRICED})
        bill[role, "calls"] += row.calls.get(role, 0)


def dry_run(
    planned: Planned, streams: Sequence[PackedContext], lengths: Mapping[str, Mapping[str, Lengths]] = MappingProxyType({})
) -> DryRun:
    """Run the agent of a run on these streams, one after the other, and have its answers judged if there is a judge.
    lengths: role -> those of its replies (models/stand_in.py). Raises UsageError where a run would."""
    return process.run(_run(planned, streams, lengths))


async def _run(planned: Planned, streams: Sequence[PackedContext], lengths: Mapping[str, Mapping[str, Lengths]]) -> DryRun:
    spec, judge = planned.spec, planned.judge
    models = {**spec.models, **({"judge": judge} if judge else {})}
    answers = dict.fromkeys(models, _answer(planned))
    answers["judge"] = COUNTING if judge_family(spec) in ASPECTS else ANSWER
    stand_ins = {
        role: StandIn(model, spec.task.tokenizer, lengths.get(role, {}), answers[role]) for role, model in models.items()
    }
    found = DryRun(stand_ins)
    samples: list[SampleRow] = []
    questions: dict[str, QuestionRow] = {}

    def see(event: Row | AgentSlow) -> None:
        found.see(event)
        if isinstance(event, SampleRow):
            samples.append(event)
        elif isinstance(event, QuestionRow):
            questions[event.question_id] = event

    async with RunContext(spec, models=stand_ins) as context:
        engine = context.engine([context.stage(see)], see, "")
        for prepared in streams:
            await engine.run(prepared, 0)
            found.tokens += sum(chunk.tokens for chunk in visible(prepared))
            found.chunks += len(visible(prepared))
            found.positions += len(prepared.points)
    if judge:
        answering = stand_ins["memory" if spec.agent.card.track == "native" else "reader"]
        judged = samples if answering.exact else _written(samples, questions)
        await _judge(found, judged, questions, judge_family(spec), planned.judge_prompt)
    return found


def _answer(planned: Planned) -> int:
    """Tokens that an answer is taken to have: as many as the gold answers on average, and one that ends it; ANSWER where
    they are letters, which a model may explain, and for agents that answer as they like."""
    count = tokens.counter(planned.spec.task.tokenizer)
    ids = set(planned.question_ids)
    asked = [question for question in planned.task.golds() if question.id in ids]
    sizes = [count(question.answers[0]) for question in asked if question.answers and not question.options]
    if not sizes or (planned.spec.agent.card.track == "native" and not any(question.keypoints for question in asked)):
        return ANSWER
    return round(statistics.fmean(sizes)) + 1


def _written(samples: list[SampleRow], questions: Mapping[str, QuestionRow]) -> list[SampleRow]:
    """The samples with the expert's summary in place of one that the stand-in for a writer wrote, which is far shorter."""
    experts = {key: row.answers[0] for key, row in questions.items() if row.keypoints}
    return [
        msgspec.structs.replace(row, answer=experts.get(row.question_id, row.answer)) if row.calls else row
        for row in samples
    ]


async def _judge(
    found: DryRun, samples: list[SampleRow], questions: Mapping[str, QuestionRow], family: str, prompt: str | None
) -> None:
    """A judge whose first reply to every call can be read."""
    stand_in = found.stand_ins["judge"]

    async def rule(request: Request) -> Completion:
        completion = await stand_in.complete(request)
        found.judging.update(
            {
                ("judge", "calls"): 1,
                **{("judge", key): getattr(completion.usage, key) for key in PRICED},
            }
        )
        return replace(completion, text=ASSENT, finish_reason="stop")

    with booking(Ledger("judge")):  # else in that of the last chunk that was read: a reply would count as one that writes
        await judge_samples(samples, questions, family, rule, params=stand_in.spec.params, prompt=prompt)


def judge_family(spec: RunSpec) -> str:
    """Whose prompts the judge of a run has."""
    return family_of(spec.task.judge, spec.task.source)


def visible(prepared: PackedContext) -> tuple[PackedChunk, ...]:
    """The chunks before the last position that is asked at: what an agent reads."""
    return prepared.points[-1].chunks if prepared.points else ()


def spread(items: Sequence[Any], number: int) -> list[Any]:
    """At most `number` of the items, evenly spaced, the last one always among them."""
    if len(items) <= number:
        return list(items)
    return [items[(index + 1) * len(items) // number - 1] for index in range(number)]
