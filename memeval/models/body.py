"""Turn the settings of a role into the body of a call: its parameters, the limit of a reply, thinking, folded system
text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memeval.models import rules
from memeval.models.completion import Message

THINKING_TOKENS = 8192
"""The reply limit of a model that thinks, unless its role sets `thinking_tokens`."""
LIMITS = ("max_tokens", "max_completion_tokens")
OURS = frozenset({"timeout", "context", "extra_body", "answer_tokens", "thinking_tokens"})
"""Parameters of a role that are not sent (nor is `thinking`, if it is a mode)."""


def mode(params: Mapping[str, Any]) -> str:
    """The thinking mode of a role: auto, on or off. A mapping is a provider's own parameter and is sent unchanged."""
    given = params.get("thinking")
    if isinstance(given, bool):  # YAML reads `on` and `off` as truth values
        return "on" if given else "off"
    return given if given in ("on", "off") else "auto"


def limit(params: Mapping[str, Any]) -> int | None:
    """The most tokens of a reply; None without a limit."""
    names = ("answer_tokens",) if isinstance(params.get("answer_tokens"), int) else LIMITS
    return min((params[name] for name in names if isinstance(params.get(name), int)), default=None)


def raised(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a role with the limits for a model that thinks."""
    most = params.get("thinking_tokens") or THINKING_TOKENS
    limits = ("answer_tokens", *LIMITS)
    return {**params, **{key: max(params[key], most) for key in limits if isinstance(params.get(key), int)}}


def switched(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are sent to the model `name`: without memeval's own, with `answer_tokens` as the reply limit
    and `thinking` in the form of the model's family. Explicit parameters of the role take precedence."""
    thinking = mode(params)
    sent = {key: value for key, value in params.items() if key not in OURS}
    if not isinstance(sent.get("thinking"), Mapping):
        sent.pop("thinking", None)
    if params.get("answer_tokens"):
        sent |= {key: params["answer_tokens"] for key in LIMITS if sent.get(key)} or {LIMITS[0]: params["answer_tokens"]}
    return sent if thinking == "auto" else _merged(rules.switch(name, thinking == "on"), sent)


def folded(messages: Sequence[Message]) -> list[Message] | None:
    """Move the system text to the start of the first user message; None if there is no system text."""
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
    """Merge two bodies; `over` wins, also inside mappings."""
    both = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], Mapping) and isinstance(over[key], Mapping):
            both[key] = {**under[key], **over[key]}
    return both
