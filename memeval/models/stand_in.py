"""A stand-in for a model in a dry run: it sends nothing, reads the prompts the agent really makes, and counts their tokens.

`offline` and `scripted:` models answer themselves, for they cost nothing: a dry run with them is exact. For any other the
offline model answers, and tokens are counted as that model's server would count them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from memeval import tokens
from memeval.agents import qwen_wire
from memeval.errors import UsageError
from memeval.models import registry, usage, window
from memeval.models.completion import Completion, Message, ModelSpec, Request, Usage
from memeval.models.offline import OfflineModel
from memeval.tokens import TokenCounter

WRITING_SHARE = 0.25
"""Of its limit, what a reply that writes to a memory takes. No model's own number: a round figure, and it is said so."""
WRITING_LIMIT = 2048
"""Tokens: the limit of a reply for which the agent set none."""
ANSWER = 64
"""Tokens of an answer, without thinking."""
_QWEN_TOOL = re.compile(r"^### (\S+)\n\n\1: (.*?) Parameters: (\{.*\}) Format the arguments", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of the replies of one role in one phase, in tokens. completion: the mean, thinking included; thinking: of that.
    cached: share of the prompt tokens that the server took from its prefix cache. error: half-width of the mean's 95 %
    interval, as a fraction of it."""

    calls: int
    completion: float
    thinking: float = 0.0
    cached: float = 0.0
    error: float = 0.0


class StandIn:
    """Stands in for `spec`. counter: of the model's own tokenizer where it is on this machine, else of `tokenizer`. exact:
    the model itself answers. lengths: of replies by phase, where they are known; guessed: the phases where they were not,
    and an answer was taken to have `answer` tokens, or as many as the offline model's. written, most: completion tokens of
    all replies, as counted, and if each were as long as its limit allows. overflows: prompts that exceed the model's window,
    which would not be sent."""

    def __init__(
        self,
        spec: ModelSpec,
        tokenizer: str,
        lengths: Mapping[str, Lengths] = MappingProxyType({}),
        answer: int = ANSWER,
    ) -> None:
        self.spec = spec
        self.answer = answer
        self.guessed: set[str] = set()
        self._lengths = lengths
        self.exact = registry.route(spec).kind in ("offline", "scripted")
        self.counter = _counter(spec, tokenizer)
        self.written = self.most = self.overflows = 0
        self._model = registry.open_model(spec) if self.exact else OfflineModel()

    async def complete(self, request: Request) -> Completion:
        """A reply, with `usage` as the model's server would report it."""
        longest, request = window.split(self.spec, request)
        if longest is not None and await window.exceeds(request, longest):
            self.overflows += 1
            return Completion(finish_reason="overflow")
        if self.exact:
            completion = await self._model.complete(request)
            most = completion.usage.completion
        else:
            completion, most = await self._guess(request)
        self.written += completion.usage.completion
        self.most += most
        return completion

    async def _guess(self, request: Request) -> tuple[Completion, int]:
        """The offline model's reply, counted for the model it stands for, and the limit of its length. Where no length is
        known, what is written while the stream is read is held to WRITING_SHARE of the limit: that model would copy out
        whole sentences up to it. An answer counts as `answer` tokens at least."""
        limit = request.params.get("max_tokens") or request.params.get("max_completion_tokens") or WRITING_LIMIT
        ledger = usage.current.get(None)
        phase = "answer" if ledger is None else ledger.phase
        reading, known = phase == "ingest", self._lengths.get(phase)
        if known is None:
            self.guessed.add(phase)
            expected, thinking = int(WRITING_SHARE * limit) if reading else min(self.answer, limit), 0
        else:
            expected, thinking = min(limit, round(known.completion)), round(known.thinking)
        writing = replace(request, params={**request.params, "max_tokens": min(limit, max(ANSWER, expected - thinking))})
        tools = _text_tools(request)
        completion = await self._model.complete(replace(writing, tools=tools) if tools else writing)
        if tools:
            completion = _in_text(completion)
        if known is None and not reading:
            expected = max(expected, min(limit, self.counter(completion.text)))
        prompt = self._prompt(request)
        cached = round(prompt * known.cached) if known else 0
        return replace(completion, usage=Usage(prompt, expected, cached)), limit

    async def embed(self, texts: Sequence[str], params: Mapping[str, Any]) -> list[Completion]:
        """Vectors of the offline embedder, one completion per text."""
        from memeval.models.embeddings import OfflineEmbedder

        if self.exact:  # what cannot embed is refused here as in a run
            return await registry.open_embedder(self.spec).embed(texts, params)
        found = await OfflineEmbedder().embed(texts, params)
        return [
            replace(completion, usage=Usage(prompt=self.counter(text)))
            for completion, text in zip(found, texts, strict=True)
        ]

    def _prompt(self, request: Request) -> int:
        """Tokens of a prompt: 3 for every message and 1 for its role, 3 to open the reply (OpenAI's cookbook, "How to count
        tokens with tiktoken"), and the schemas of the tools as JSON."""
        size = 3 + sum(4 + self.counter(_text(message)) for message in request.messages)
        return size + sum(self.counter(json.dumps(tool, ensure_ascii=False, default=dict)) for tool in request.tools or ())


def _counter(spec: ModelSpec, tokenizer: str) -> TokenCounter:
    try:
        return tokens.counter(registry.route(spec).name)
    except UsageError:  # no name of a tokenizer
        return tokens.counter(tokenizer)


def _text(message: Message) -> str:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    text = "\n".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))
    calls = message.get("tool_calls")
    return f"{text}{json.dumps(calls, ensure_ascii=False, default=dict)}" if calls else text


def _text_tools(request: Request) -> list[dict[str, Any]] | None:
    """Tools that the prompt describes in qwen-agent's words (agents/qwen_wire.py) instead of offering them natively."""
    if request.tools:
        return None
    tools = []
    for message in request.messages:
        for name, about, schema in _QWEN_TOOL.findall(_text(message) if message.get("role") == "system" else ""):
            try:
                function = {"name": name, "description": about, "parameters": json.loads(schema)}
            except ValueError:  # a text that only looks like it
                continue
            tools.append({"type": "function", "function": function})
    return tools


def _in_text(completion: Completion) -> Completion:
    """The calls of a reply written out in qwen-agent's format."""
    text = "\n".join(f"{qwen_wire.NAME}: {call.name}\n{qwen_wire.ARGS}: {call.raw}" for call in completion.tool_calls)
    return replace(completion, text=text or completion.text, tool_calls=())
