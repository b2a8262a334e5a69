"""Check before sending whether a prompt fits in the model's window, because some servers cut long prompts silently.

The window is the role's parameter `context` (tokens, in an agent card's `models:`), else the one that its server lists,
else the one in litellm's table for a provider's model.

Prompts are counted with o200k_base, contents and tools only. Hardly any tokenizer needs fewer tokens, so a prompt that
exceeds the window here exceeds it there; close cases are left to the server.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from memeval import tokens
from memeval.errors import UsageError
from memeval.models import prices
from memeval.models.completion import ModelSpec, Request, text_of

KEY = "context"
_SPARE = 2  # characters per token; text with fewer is so rare that a shorter prompt need not be counted
_SLICE = 65_536  # characters counted at a time, so that counting can stop at the end of the window


def declared(params: Mapping[str, Any]) -> int | None:
    """The window that a role's parameters declare, in tokens. Raises UsageError if it is not a valid number."""
    value = params.get(KEY)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise UsageError(f"{KEY}: {value!r} is not a context window; give a whole number of tokens, such as 32768")


def backend(spec: ModelSpec) -> dict[str, Any]:
    """How a local model is started: `backend:` of a spec, with the role's window unless it sets one itself."""
    context = declared(spec.params)
    return {**({} if context is None else {"max_model_len": context}), **spec.backend}


def known(spec: ModelSpec, params: Mapping[str, Any] | None = None) -> int | None:
    """The window of a model, if its role, its server or litellm's table knows it, in tokens. params: of a call, if they
    differ from the role's."""
    found = declared(spec.params if params is None else params)
    return found or spec.window or prices.context_window(spec.name, spec.base_url)


def room(window: int) -> int:
    """The part of a window that a memory may fill, in o200k_base tokens: a quarter (at most 2,048) is reserved for the
    reply, and a tenth and 256 for the question, the instructions and tokenizers that need more tokens."""
    return max(1, int(0.9 * (window - min(2048, window // 4))) - 256)


def split(spec: ModelSpec, request: Request) -> tuple[int | None, Request]:
    """(window or None, the request without `context`, which is not a sampling parameter)."""
    window = known(spec, request.params)
    if KEY in request.params:
        params = {key: value for key, value in request.params.items() if key != KEY}
        request = dataclasses.replace(request, params=params)
    return window, request


async def exceeds(request: Request, window: int) -> bool:
    """Whether the prompt alone has more tokens than the window. Long prompts are counted in a thread."""
    if sum(map(len, _texts(request))) <= _SPARE * window:
        return False
    return await asyncio.to_thread(_count_exceeds, request, window)


def _count_exceeds(request: Request, window: int) -> bool:
    count, total = tokens.counter(tokens.DEFAULT), 0
    for text in _texts(request):
        for start in range(0, len(text), _SLICE):
            total += count(text[start : start + _SLICE])
            if total > window:
                return True
    return False


def _texts(request: Request) -> Iterator[str]:
    for message in request.messages:
        yield text_of(message)
    for tool in request.tools or ():
        yield json.dumps(tool, default=dict)
