"""The cost of a chunk, a fork and an answer, from the rows of a run or from a dry run of a few of its streams.

A dry run uses the real engine (forks, budgets, prompts, the reader) with a substitute for each model. The substitute sends
nothing: it counts the prompts that the agent really makes. Nothing is written.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memeval import tokens
from memeval.agents import qwen_wire
from memeval.errors import UsageError
from memeval.models import registry, window
from memeval.models.completion import Completion, ModelSpec, Request, Usage, text_of
from memeval.models.offline import OfflineModel
from memeval.records.rows import OperationRow, SampleRow, Spent
from memeval.runs.plan import Planned
from memeval.runs.prepare import PackedContext
from memeval.runs.run_context import RunContext
from memeval.tokens import TokenCounter
from memeval.wording import counted

KINDS = ("prompt", "completion", "cached")
"""Kinds of tokens with a price, as fields of `Usage`."""
SHARE = 0.25
"""Guess: a reply's share of its limit. A round figure."""
LIMIT = 2048
"""The limit of a reply, in tokens, if the agent sets none."""
_QWEN_TOOL = re.compile(r"^### (\S+)\n\n\1: (.*?) Parameters: (\{.*\}) Format the arguments", re.MULTILINE)


class Piece:
    """The total cost of `units` chunks, forks, answers or calls of the judge. bill: (role, `calls` or one of KINDS) ->
    number. rebuilt: the agent cannot fork. guessed: the lengths of replies are guessed, of models that cost money."""

    def __init__(self, rows: Iterable[OperationRow | SampleRow | Spent], units: int, guessed: bool = False) -> None:
        self.units = max(1, units)
        self.guessed = guessed
        self.rebuilt = False
        bill: defaultdict[tuple[str, str], float] = defaultdict(float)
        for row in rows:
            self.rebuilt |= isinstance(row, OperationRow) and bool(row.rebuilt)
            for role, used in row.tokens.items():
                bill[role, "calls"] += row.calls.get(role, 0)
                for key in KINDS:
                    bill[role, key] += getattr(used, key)
        self.bill: Mapping[tuple[str, str], float] = bill


def pieces(operations: Sequence[OperationRow], samples: Sequence[SampleRow], guessed: bool = False) -> dict[str, Piece]:
    """The pieces: a chunk, a fork and an answer."""
    reading = [row for row in operations if row.position is None]
    forks = [row for row in operations if row.position is not None]
    return {
        "chunk": Piece(reading, sum(row.chunk_tokens > 0 for row in reading), guessed),
        "fork": Piece(
            forks, len({(row.context_id, row.repeat, row.position) for row in forks if row.chunk_tokens}), guessed
        ),
        "answer": Piece(samples, len(samples), guessed),
    }


async def dry_run(planned: Planned, streams: Sequence[PackedContext]) -> tuple[dict[str, Piece], list[str]]:
    """Run the agent of a run on these streams, one after the other. Returns the pieces, and notes on them."""
    spec = planned.spec
    substitutes = {role: Substitute(model, spec.task.tokenizer) for role, model in spec.models.items()}
    rows: list[Any] = []
    async with RunContext(spec, models=substitutes) as context:
        engine = context.engine(rows.append, constant="")
        for prepared in streams:
            await engine.run(prepared, 0)
    samples = [row for row in rows if isinstance(row, SampleRow)]
    notes = [f"dry run on {counted(len(streams), 'stream')}"]
    if failures := [row.failure for row in samples if row.failure is not None]:
        of = f"{len(failures)} of {counted(len(samples), 'answer')}"
        notes.append(f"WARNING: {of} failed in the dry run: {failures[0]}")
    for role, model in substitutes.items():
        if model.overflows:
            too_long = f"{counted(model.overflows, 'prompt')} of {role}"
            notes.append(f"WARNING: too long for the window of {model.spec.name} in the dry run: {too_long}")
    return pieces([row for row in rows if isinstance(row, OperationRow)], samples, guessed=True), notes


# -- substitutes for models ---------------------------------------------------------------------------------------------


class Substitute:
    """A substitute for the model `spec`.

    exact: the model itself answers. counter: of the model's own tokenizer if it is on this machine, else of `tokenizer`.
    overflows: number of prompts that exceeded the model's window, which a run would not send.
    """

    def __init__(self, spec: ModelSpec, tokenizer: str) -> None:
        self.spec = spec
        self.exact = not registry.fills_cache(spec)
        self.counter = counter(spec, tokenizer)
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
        """The offline model's reply, with the assumed length. Its text is filled up to that length, because it may become a
        part of later prompts."""
        limit = request.params.get("max_tokens") or request.params.get("max_completion_tokens") or LIMIT
        size, tools = int(SHARE * limit), _tools_in_text(request)
        params = {**request.params, "max_tokens": size}
        completion = await self._model.complete(dataclasses.replace(request, tools=request.tools or tools, params=params))
        if tools:
            completion = _calls_in_text(completion)
        elif not completion.tool_calls:
            missing = size - self.counter(completion.text)
            completion = dataclasses.replace(completion, text=completion.text + " word" * missing)
        return dataclasses.replace(completion, usage=Usage(self.prompt_tokens(request), size))

    async def _embed(self, request: Request) -> Completion:
        """Vectors of the offline embedder. A free model that cannot embed is refused here, as in a run."""
        found = await registry.open_embedder(self.spec if self.exact else ModelSpec("offline")).complete(request)
        read = sum(self.counter(text_of(message)) for message in request.messages)
        return found if self.exact else dataclasses.replace(found, usage=Usage(read))

    def prompt_tokens(self, request: Request) -> int:
        """Tokens of a prompt: 3 for every message and 1 for its role, 3 to open the reply (OpenAI's cookbook, "How to count
        tokens with tiktoken"), and the tools and their calls as JSON."""
        calls = [message["tool_calls"] for message in request.messages if message.get("tool_calls")]
        written = [json.dumps(each, ensure_ascii=False, default=dict) for each in (*calls, *(request.tools or ()))]
        texts = map(text_of, request.messages)
        return 3 + 4 * len(request.messages) + sum(map(self.counter, (*texts, *written)))


def counter(spec: ModelSpec, tokenizer: str) -> TokenCounter:
    """The counter of the model's own tokenizer if it is on this machine, else of `tokenizer`."""
    try:
        return tokens.counter(registry.route(spec).name)
    except UsageError:  # the model's name is no name of a tokenizer
        return tokens.counter(tokenizer)


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
