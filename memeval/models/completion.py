"""The data that agents, the gateway and models exchange: plain, frozen, JSON-compatible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from memeval.records.rows import Usage as Usage

WHOLE = frozenset({"stop", "tool_calls", "empty"})
"""Finish reasons of replies that ended normally."""

UNREAD = "The offline model cannot read this prompt: it holds none of the tags of memeval.prompts."
"""The offline model's whole reply to a prompt that it cannot read; the numbers of an agent that gets it mean nothing."""

Message = Mapping[str, Any]
"""One chat message in OpenAI's form: {"role", "content", and "tool_calls" / "tool_call_id" if they apply}."""


def text_of(message: Message) -> str:
    """The text of a message, whose content is a text, null, or a list of parts; parts other than text are left out."""
    content = message.get("content")
    parts = content if isinstance(content, (list, tuple)) else [{"text": content}]
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of a model. If its arguments could not be read, `arguments` is None and `error` gives the reason."""

    name: str
    arguments: Mapping[str, Any] | None
    raw: str = ""
    error: str | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One training row: prompt token ids, completion token ids, log-probabilities of the completion's tokens."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's reply.

    `text` excludes thinking, which is in `reasoning`. `finish_reason`: `stop`, `tool_calls`, `empty` (ended normally
    without text or call), `length` (cut off), `unclosed_think` (thinking never ended), `overflow` (the prompt exceeds
    the model's window), `content_filter`, or the server's own reason. `error` is set only if no reply was obtained
    after all retries (transport, server): the sample counts as failed. `model` is the name that the server reported.
    `estimated`: memeval estimated the usage, because the server's is missing or impossible.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = "stop"
    error: str | None = None
    row: Row | None = None
    model: str | None = None
    estimated: bool = False

    @property
    def whole(self) -> bool:
        """Whether the reply ended normally. The last call of a reply that was cut off is not trusted."""
        return self.finish_reason in WHOLE


@dataclass(frozen=True, slots=True)
class Request:
    """One logical call. `params` are sampling parameters (temperature, max_tokens, ...); `repeat` is the run's repeat;
    `sample` distinguishes otherwise equal calls (a second opinion, a vote). `phase` (`ingest`, `recall`, `answer`)
    selects the store for the reply; it is neither sent nor part of the call's key. `embeds`: a call for vectors
    (embeddings.py)."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 0
    sample: int = 0
    phase: str = ""
    embeds: bool = False


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model of a role; picklable. `name` as the user typed it; `base_url` makes it the literal name of a model
    behind that endpoint. `params` are sampling defaults. `backend`: how a local model (vllm/, hf/) is started or
    loaded, never sent with a call. `tag`: the checkpoint, if the name does not identify it; part of its identity, not
    sent either. `checkpoint`, `window` (tokens): what the server reports about the model when a run starts; the former
    is part of the key in the user's cache, and neither is in the identity of a run. A spec never contains a key; keys
    are read from the environment."""

    name: str
    base_url: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    backend: Mapping[str, Any] = field(default_factory=dict)
    tag: str = ""
    checkpoint: str = ""
    window: int | None = None


class Model(Protocol):
    """A model that can be called. `identity` names the weights for the cache key (base URL + name, or a digest; never a
    random port or path). `complete` does not raise for errors of a server: it returns a Completion with `error`."""

    identity: str

    async def complete(self, request: Request) -> Completion: ...

    async def close(self) -> None: ...
