"""The data that pass between an agent, the gateway and a model. Plain, frozen, JSON-able."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from memeval.records.rows import Usage as Usage

WHOLE = frozenset({"stop", "tool_calls", "empty"})
"""Finish reasons of replies that ended by themselves."""

UNREAD = "The offline model cannot read this prompt: it holds none of the tags of memeval.prompts."
"""The whole reply of the offline model to a prompt that it cannot read: the numbers of an agent that gets it say nothing."""

Message = Mapping[str, Any]
"""One chat message in OpenAI's shape: {"role", "content", and "tool_calls" / "tool_call_id" where they apply}."""


def text_of(message: Message) -> str:
    """The text of a message, whose content is a text, null, or a list of parts; parts of another kind are left out."""
    content = message.get("content")
    parts = content if isinstance(content, (list, tuple)) else [{"text": content}]
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of a model. `arguments` is None and `error` says why when they could not be read."""

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

    `text` has no thinking in it: that is in `reasoning`. `finish_reason`: `stop`, `tool_calls`, `empty` (it ended by itself
    without text or call), `length` (cut off), `unclosed_think` (thinking never ended), `overflow` (the prompt exceeds the
    model's window), `content_filter`, or what the server said.
    `error` is set only when no reply was obtained after all retries (transport, server): the sample counts as failed.
    `model` is the name under which the server says it answered. `estimated`: the usage is ours, because the server's is
    missing or cannot be true.
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
        """Whether the reply ended by itself: a call at the end of one that was cut off is not trusted."""
        return self.finish_reason in WHOLE


@dataclass(frozen=True, slots=True)
class Request:
    """One logical call. `params` are sampling parameters (temperature, max_tokens, ...); `repeat` is the run's repeat,
    `sample` tells apart calls that are otherwise equal (a second opinion, a vote). `phase` (`ingest`, `recall`, `answer`)
    says in which store the reply belongs; it is neither sent nor part of the call's key. `embeds`: a call for vectors
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
    """What a role is bound to, picklable. `name` as the user typed it; `base_url` makes it the literal name of a model
    behind that endpoint. `params` are sampling defaults. `backend`: how a local model (vllm/, hf/) is started or loaded,
    never sent with a call. `tag`: which checkpoint it is, where the name does not say so; part of its identity, not
    sent either. `checkpoint`, `window` (tokens): what its server says of the model when a run starts; the first tells
    replies in the user's cache apart, and neither is in the identity of a run. A key is never part of a spec: it is read
    from the environment."""

    name: str
    base_url: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    backend: Mapping[str, Any] = field(default_factory=dict)
    tag: str = ""
    checkpoint: str = ""
    window: int | None = None


class Model(Protocol):
    """A backend. `identity` names the weights for the cache key (base URL + name, or a digest; never a port or path of
    no meaning). `complete` never raises for what a server does: it returns a Completion with `error`."""

    identity: str

    async def complete(self, request: Request) -> Completion: ...

    async def close(self) -> None: ...
