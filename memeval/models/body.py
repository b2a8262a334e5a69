"""What the settings of a role come to in the body of a call: its parameters, the limit of a reply, thinking, folded system
text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memeval.models import rules
from memeval.models.completion import Message

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


def raised(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a role with the limits of a model that thinks."""
    most = params.get("thinking_tokens") or THINKING_TOKENS
    limits = ("answer_tokens", *LIMITS)
    return {**params, **{key: max(params[key], most) for key in limits if isinstance(params.get(key), int)}}


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


def folded(messages: Sequence[Message]) -> list[Message] | None:
    """The messages with the system text at the beginning of the first user message; None where there is no such text."""
    others = [message for message in messages if message.get("role") not in ("system", "developer")]
    system = [str(message.get("content") or "") for message in messages if message not in others]
    if not any(system):
        return None
    text = "\n\n".join(system)
    if not others or others[0].get("role") != "user":
        return [{"role": "user", "content": text}, *others]
    content = others[0].get("content")
    parts: Any = f"{text}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": text}, *(content or ())]
    return [{**others[0], "content": parts}, *others[1:]]


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two bodies as one; `over` wins, also inside mappings."""
    both = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], Mapping) and isinstance(over[key], Mapping):
            both[key] = {**under[key], **over[key]}
    return both
