"""Check the settings of a role besides its model's name (memeval.yaml, cards): sampling parameters (null leaves one
out), `timeout`, `context`, `extra_body`, `thinking` (auto, on, off), and reply limits: `answer_tokens`, and
`thinking_tokens` for a model that thinks. All are checked before anything is sent, because servers ignore unknown
parameters, and keys do not belong in files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from memeval.errors import UsageError

_NUMBERS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
_COUNTS = ("max_tokens", "max_completion_tokens", "answer_tokens", "thinking_tokens")
MODES = ("auto", "on", "off")
"""The modes of `thinking`; a mapping is a provider's own parameter."""
_OTHERS = ("top_k", "top_a", "seed", "stop", "timeout", "context", "backend", "extra_body", "response_format", "logit_bias")
_SWITCHES = (
    "reasoning_effort",
    "enable_thinking",
    "thinking",
    "chat_template_kwargs",
    "parallel_tool_calls",
    "tool_choice",
)
_KNOWN = (*_NUMBERS, *_COUNTS, *_OTHERS, *_SWITCHES)
_NEAR = 0.85  # for difflib: `temprature` is a misspelling, `top_a` and `top_k` are different parameters
_KEY = re.compile(
    r"(^|_)(api_?key|access_key\w*|secret\w*|password|authorization|credentials|headers)$|^(key|token|(auth|access)_token)$",
    re.IGNORECASE,
)
_URL = re.compile(r"(^|_)(base_?url|api_base|endpoint)$", re.IGNORECASE)


def check(params: Mapping[str, Any]) -> None:
    """Raises UsageError for a key or URL among the parameters, a misspelt name, or a value of the wrong type."""
    for name, value in _named(params):
        if _KEY.search(name):
            raise UsageError(
                f"'{name}': keys are read from the environment alone (MEMEVAL_API_KEY, OPENAI_API_KEY, MEMEVAL_HEADERS, ...)"
            )
        if _URL.search(name):
            raise UsageError(f"'{name}': a URL belongs to the name; write NAME@URL")
        near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=_NEAR) if name not in _KNOWN else []
        if near:
            raise UsageError(f"no parameter '{name}'; did you mean '{near[0]}'?")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name in _NUMBERS and value is not None and not number:
            raise UsageError(f"{name}: {value!r} is not a number")
        if name in _COUNTS and value is not None and not (type(value) is int and value > 0):
            raise UsageError(f"{name}: {value!r} is not a number of tokens")
    timeout(params)
    thinking = params.get("thinking")
    if thinking is not None and not isinstance(thinking, (bool, Mapping)) and thinking not in MODES:
        raise UsageError(f"thinking: {thinking!r}; use {', '.join(MODES)}")


def timeout(params: Mapping[str, Any]) -> float | None:
    """`timeout` in seconds; None where it is not set. Raises UsageError when it is not a positive number."""
    value = params.get("timeout")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise UsageError(f"timeout: {value!r} is not a positive number of seconds")
    return float(value)


def _named(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    extra = params.get("extra_body")
    if extra is not None and not isinstance(extra, Mapping):
        raise UsageError(f"extra_body: {extra!r} is not a mapping")
    for given in (params, extra or {}):
        yield from ((str(name), value) for name, value in given.items())
