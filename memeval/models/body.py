"""The body of a call as one server takes it: the request, changed by what the server's refusals have said so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memeval.errors import UsageError
from memeval.models import rules
from memeval.models.completion import Message, Request
from memeval.models.faults import Refused

THINKING_TOKENS = 8192
"""The limit of a reply of a model that thinks, unless its role sets `thinking_tokens`."""
LIMITS = ("max_tokens", "max_completion_tokens")
OURS = frozenset({"timeout", "context", "extra_body", "answer_tokens", "thinking_tokens"})
"""Parameters of a role that are not sent (and `thinking`, where it is a mode)."""


def mode(params: Mapping[str, Any]) -> str:
    """`thinking` of a role: auto, on or off. A mapping is a provider's own parameter, and sent as it is."""
    given = params.get("thinking")
    if isinstance(given, bool):  # YAML reads `on` and `off` as truth values
        return "on" if given else "off"
    return given if given in ("on", "off") else "auto"


def limit(params: Mapping[str, Any]) -> int | None:
    """The tokens that a reply may have; None where nothing limits it."""
    names = ("answer_tokens",) if isinstance(params.get("answer_tokens"), int) else LIMITS
    return min((params[name] for name in names if isinstance(params.get(name), int)), default=None)


def raised_limits(params: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, int]:
    """The limits among what is sent, raised to those of a model that thinks."""
    most = params.get("thinking_tokens") or THINKING_TOKENS
    return {key: max(sent[key], most) for key in LIMITS if isinstance(sent.get(key), int)}


def switched(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a role that are sent to the model `name`: without our own, with `answer_tokens` as the limit of the
    reply and `thinking` as its family wants it. What the role says itself goes first."""
    thinking = mode(params)
    sent = {key: value for key, value in params.items() if key not in OURS}
    if not isinstance(sent.get("thinking"), Mapping):
        sent.pop("thinking", None)
    if params.get("answer_tokens"):
        sent |= {key: params["answer_tokens"] for key in LIMITS if sent.get(key)} or {LIMITS[0]: params["answer_tokens"]}
    return sent if thinking == "auto" else _merged(rules.switch(name, thinking == "on"), sent)


class Adapted:
    """How one server takes the calls to one model: learnt from its refusals and kept for the run.

    `notes`: what was changed, in words, for the manifest."""

    def __init__(self, name: str, fold_system: bool = False) -> None:
        self.notes: list[str] = []
        self.stream = False
        self._name = name
        self._fold = fold_system
        self._dropped: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._most: int | None = None

    def body(self, request: Request, raised: bool = False) -> dict[str, Any]:
        """The JSON object to send. raised: with the limit of a model that thinks. Raises UsageError where `extra_body` is no
        mapping. A parameter that is null is left out."""
        params = request.params
        body = switched(self._name, params)
        if raised:
            body |= raised_limits(params, body)
        extra = params.get("extra_body") or {}
        if not isinstance(extra, Mapping):
            raise UsageError(f"model '{self._name}': extra_body: {extra!r} is not a mapping")
        messages = self._folded(request.messages) if self._fold else request.messages
        body = {"model": self._name, **body, **({"tools": request.tools} if request.tools else {}), **extra}
        return self.changed({key: value for key, value in {"messages": messages, **body}.items() if value is not None})

    def learn(self, refused: Refused, sent: Mapping[str, Any]) -> bool:
        """Change what is sent as a refusal asks for. Returns whether the call is another one now, worth sending again."""
        row, found = refused.row, refused.found
        for old, new in row.rename.items():
            self.note(f"{old} is sent as {new}")
            self._renamed[old] = new
        if row.stream:
            self.note("replies are streamed")
            self.stream = True
        if row.limit and (most := int(next((found[key] for key in ("most", "upto", "above") if key in found), 0))):
            self.note(f"the length limit is lowered to {most} tokens, the model's own")
            self._most = most
        written = found.get("param", "").replace("_", "").lower()
        for name in rules.droppable():
            if written == name.replace("_", ""):
                self.note(f"{name} is left out")
                self._dropped.add(name)
        return self.changed(dict(sent)) != sent

    def note(self, text: str) -> None:
        """Note, once, that something is sent otherwise."""
        if text not in self.notes:
            self.notes.append(text)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        """A body as this server takes it."""
        for name in self._dropped:
            body.pop(name, None)
        for old, new in self._renamed.items():
            if old in body:
                value = body.pop(old)
                body.setdefault(new, value)
        if self._most is not None:
            body |= {key: min(body[key], self._most) for key in LIMITS if isinstance(body.get(key), int)}
        if self.stream:
            body["stream"] = True
            if "stream_options" not in self._dropped:
                body["stream_options"] = {"include_usage": True}
        return body

    def _folded(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with the system text at the beginning of the first user message."""
        others = [message for message in messages if message.get("role") not in ("system", "developer")]
        system = [str(message.get("content") or "") for message in messages if message not in others]
        if not any(system):
            return list(messages)
        self.note("system text is sent in the user message (--fold-system)")
        text = "\n\n".join(system)
        if not others or others[0].get("role") != "user":
            return [{"role": "user", "content": text}, *others]
        content = others[0].get("content")
        parts: Any = (
            f"{text}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": text}, *(content or ())]
        )
        return [{**others[0], "content": parts}, *others[1:]]


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two bodies as one; `over` wins, also inside mappings."""
    both = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], Mapping) and isinstance(over[key], Mapping):
            both[key] = {**under[key], **over[key]}
    return both
