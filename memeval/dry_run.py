"""What a chunk, a fork, an answer and a call of the judge cost, read from the rows of a run or from a dry run of a few of
its streams.

A dry run is the real engine (forks, budgets, prompts, the reader, the judge) with a substitute for each model, which sends
nothing: it reads the prompts that the agent really makes and counts them. Nothing is written.
"""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval import process, tokens
from memeval.agents import qwen_wire
from memeval.errors import UsageError
from memeval.judging.judge import Judge, family_of
from memeval.models import registry, window
from memeval.models.completion import Completion, Message, ModelSpec, Request, Usage, text_of
from memeval.models.offline import OfflineModel
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, Spent
from memeval.runs.plan import Planned
from memeval.runs.prepare import PackedContext
from memeval.runs.run_context import RunContext
from memeval.tokens import TokenCounter

KINDS = ("prompt", "completion", "cached")
"""Tokens that have a price, as `Usage` names them."""
WRITING_SHARE = 0.25
"""Guess: the share of its limit that a reply takes which is written while the stream is read. A round figure."""
WRITING_LIMIT = 2048
"""Tokens: the limit of a reply for which the agent set none."""
ANSWER = 64
"""Guess: tokens of an answer, without thinking."""
_QWEN_TOOL = re.compile(r"^### (\S+)\n\n\1: (.*?) Parameters: (\{.*\}) Format the arguments", re.MULTILINE)
_ASSENT = (
    'VERDICT: RIGHT\n{"fluency": 1, "recall": 0, "precision": 0, "sentence_count": 0, '
    '"label": "CORRECT", "score": 1, "order": []}'
)
"""A reply in which a judge of any family finds what it asks for."""


class Costs:
    """What `units` chunks, forks, answers or calls of the judge cost together. bill: (role, `calls` or one of KINDS) ->
    number. rebuilt: the agent cannot be forked."""

    def __init__(self, rows: Iterable[OperationRow | SampleRow | Spent], units: int) -> None:
        self.units = units
        self.rebuilt = False
        bill: defaultdict[tuple[str, str], float] = defaultdict(float)
        for row in rows:
            self.rebuilt |= isinstance(row, OperationRow) and bool(row.rebuilt)
            for role, used in row.tokens.items():
                bill[role, "calls"] += row.calls.get(role, 0)
                for key in KINDS:
                    bill[role, key] += getattr(used, key)
        self.bill: Mapping[tuple[str, str], float] = bill


def costs(operations: Sequence[OperationRow], samples: Sequence[SampleRow], judged: Spent) -> dict[str, Costs]:
    """The costs of each piece by its name."""
    reading = [row for row in operations if row.position is None]
    forks = [row for row in operations if row.position is not None]
    return {
        "chunk": Costs(reading, sum(row.chunk_tokens > 0 for row in reading)),
        "fork": Costs(forks, len({(row.context_id, row.repeat, row.position) for row in forks if row.chunk_tokens})),
        "answer": Costs(samples, len(samples)),
        "verdict": Costs([judged], judged.calls.get("judge", 0)),
    }


@dataclass(frozen=True, slots=True)
class DryRun:
    """costs: of each piece. failures: reasons of answers that failed."""

    costs: Mapping[str, Costs]
    substitutes: Mapping[str, Substitute]
    failures: Sequence[str]
    streams: int


def models(planned: Planned) -> dict[str, ModelSpec]:
    """role -> model, the judge included."""
    return {**planned.spec.models, **({"judge": planned.judge} if planned.judge else {})}


def dry_run(planned: Planned, streams: Sequence[PackedContext]) -> DryRun:
    """Run the agent of a run on these streams, one after the other, and have its answers judged if there is a judge."""
    return process.run(_run(planned, streams))


async def _run(planned: Planned, streams: Sequence[PackedContext]) -> DryRun:
    spec, judge = planned.spec, planned.judge
    answers = dict.fromkeys(spec.models, _answer_tokens(planned))
    substitutes = {
        role: Substitute(model, spec.task.tokenizer, answers.get(role, ANSWER)) for role, model in models(planned).items()
    }
    rows: list[Any] = []
    async with RunContext(spec, models=substitutes) as context:
        engine = context.engine(rows.append, constant="")
        for prepared in streams:
            await engine.run(prepared, 0)
    samples = [row for row in rows if isinstance(row, SampleRow)]
    rulings: list[Usage] = []

    async def rule(request: Request) -> Completion:
        completion = await substitutes["judge"].complete(request)
        rulings.append(completion.usage)
        return dataclasses.replace(completion, text=_ASSENT, finish_reason="stop")

    if judge is not None:
        questions = {row.question_id: row for row in rows if isinstance(row, QuestionRow)}
        family = family_of(spec.task.judge, spec.task.source)
        await Judge(family, rule, judge.params, planned.judge_prompt).samples(samples, questions)
    judged = Spent(calls={"judge": len(rulings)}, tokens={"judge": sum(rulings, Usage())})
    operations = [row for row in rows if isinstance(row, OperationRow)]
    failures = [row.failure for row in samples if row.failure is not None]
    return DryRun(costs(operations, samples, judged), substitutes, failures, len(streams))


def _answer_tokens(planned: Planned) -> int:
    """As many as the golds of the questions have on average, and one that ends the reply; ANSWER where the golds are
    letters, which a model may explain."""
    count, wanted = tokens.counter(planned.spec.task.tokenizer), set(planned.question_ids)
    golds = [gold for gold in planned.task.golds() if gold.id in wanted and gold.answers and not gold.options]
    return round(statistics.fmean(count(gold.answers[0]) for gold in golds)) + 1 if golds else ANSWER


# -- substitutes for models ---------------------------------------------------------------------------------------------


class Substitute:
    """Answers in place of the model `spec`.

    answer: tokens that a guessed answer has at least. exact: the model itself answers. counter: of the model's own
    tokenizer where it is on this machine, else of `tokenizer`. overflows: prompts that exceeded the model's window, which
    a run would not send.
    """

    def __init__(self, spec: ModelSpec, tokenizer: str, answer: int = ANSWER) -> None:
        self.spec = spec
        self.answer = answer
        self.exact = not registry.fills_cache(spec)
        self.counter = _counter(spec, tokenizer)
        self.overflows = 0
        self._model = registry.open_model(spec) if self.exact else OfflineModel()

    async def complete(self, request: Request) -> Completion:
        """A reply, with `usage` as the model's server would report it."""
        if request.embeds:
            return await self._embed(request)
        longest, request = window.split(self.spec, request)
        if longest is not None and await window.exceeds(request, longest):
            self.overflows += 1
            return Completion(finish_reason="overflow")
        return await (self._model.complete(request) if self.exact else self._guess(request))

    async def _guess(self, request: Request) -> Completion:
        """The offline model's reply, held to the length that the reply is taken to have. Its text is filled up to that
        length, because a text may become a part of later prompts."""
        limit = request.params.get("max_tokens") or request.params.get("max_completion_tokens") or WRITING_LIMIT
        reading = request.phase == "ingest"
        size = int(WRITING_SHARE * limit) if reading else min(self.answer, limit)
        tools = _tools_in_text(request)
        held = dataclasses.replace(
            request, tools=request.tools or tools, params={**request.params, "max_tokens": max(ANSWER, size)}
        )
        completion = await self._model.complete(held)
        if tools:
            completion = _calls_in_text(completion)
        written = self.counter(completion.text)
        size = size if reading else max(size, min(limit, written))
        text = completion.text if completion.tool_calls or tools else completion.text + " word" * (size - written)
        return dataclasses.replace(completion, text=text, usage=Usage(self._prompt_tokens(request), size))

    async def _embed(self, request: Request) -> Completion:
        """Vectors of the offline embedder."""
        if self.exact:  # a model that cannot embed is refused here as in a run
            return await registry.open_embedder(self.spec).complete(request)
        found = await registry.open_embedder(ModelSpec("offline")).complete(request)
        return dataclasses.replace(found, usage=Usage(sum(self.counter(text_of(message)) for message in request.messages)))

    def _prompt_tokens(self, request: Request) -> int:
        """3 tokens for every message and 1 for its role, 3 to open the reply (OpenAI's cookbook, "How to count tokens with
        tiktoken"), and the schemas of the tools as JSON."""
        size = 3 + sum(4 + self.counter(_written(message)) for message in request.messages)
        return size + sum(self.counter(json.dumps(tool, ensure_ascii=False, default=dict)) for tool in request.tools or ())


def _counter(spec: ModelSpec, tokenizer: str) -> TokenCounter:
    try:
        return tokens.counter(registry.route(spec).name)
    except UsageError:  # the model's name is no name of a tokenizer
        return tokens.counter(tokenizer)


def _written(message: Message) -> str:
    """The text of a message and its tool calls as JSON."""
    calls = message.get("tool_calls")
    return f"{text_of(message)}{json.dumps(calls, ensure_ascii=False, default=dict) if calls else ''}"


def _tools_in_text(request: Request) -> list[dict[str, Any]]:
    """Tools that the system prompt describes in qwen-agent's words (agents/qwen_wire.py) and the request does not offer."""
    system = "" if request.tools else "\n".join(text_of(part) for part in request.messages if part.get("role") == "system")
    tools = []
    for name, about, schema in _QWEN_TOOL.findall(system):
        try:
            function = {"name": name, "description": about, "parameters": json.loads(schema)}
        except ValueError:  # a text that only looks like a tool
            continue
        tools.append({"type": "function", "function": function})
    return tools


def _calls_in_text(completion: Completion) -> Completion:
    """The calls of a reply, written in qwen-agent's format."""
    text = "\n".join(f"{qwen_wire.NAME}: {call.name}\n{qwen_wire.ARGS}: {call.raw}" for call in completion.tool_calls)
    return dataclasses.replace(completion, text=text or completion.text, tool_calls=())
