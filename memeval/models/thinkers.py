"""Whether a model thinks before it writes: by the switches of a call, else by its name, which says it for most families."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_THINKS = re.compile(
    r"(^|[/_-])(o[134](?![a-z0-9])|gpt-[5-9](?!.*chat)|gpt-oss|qwq|qwen-?3(?!.*(instruct|coder|embed|base))|r1(?![a-z0-9])"
    r"|gemini-(2\.5|[3-9])(?!.*lite)|grok-(3-mini|[4-9])|magistral|glm-(4\.[5-9]|[5-9])|minimax-m\d)|thinking|reason",
    re.IGNORECASE,
)
"""Models that think unless they are told not to, as their makers name them."""
_NOT = re.compile(r"non?-?(thinking|reasoning)", re.IGNORECASE)


def thinks(name: str, params: Mapping[str, Any]) -> bool:
    """name: of a model as a role has it; params: of one call, `extra_body` included. Known switches: those of chat templates
    (Qwen's `enable_thinking`, DeepSeek's `thinking`), OpenAI's `reasoning_effort`, Anthropic's `thinking: {type}` and
    OpenRouter's `reasoning: {enabled, effort}`."""
    given = dict(params)
    for inner in ("extra_body", "chat_template_kwargs"):
        more = given.get(inner)
        given.update(more if isinstance(more, Mapping) else {})
    for key in ("enable_thinking", "thinking", "reasoning", "reasoning_effort"):
        value = given.get(key)
        if isinstance(value, Mapping):
            value = next((value[part] for part in ("enabled", "type", "effort") if part in value), True)
        if value is not None:
            return value not in (False, "disabled", "none")
    return _THINKS.search(name) is not None and _NOT.search(name) is None
