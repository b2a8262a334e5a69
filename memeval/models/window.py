"""Whether a prompt fits the model's window, checked before it is sent: some servers cut long prompts without a word.

The window is the role's parameter `context` (tokens, in an agent card's `models:`), else what its server lists, else what
litellm's table says of a provider's model.

Prompts are counted with o200k_base, contents and tools alone. Hardly any tokenizer needs fewer tokens, so
what exceeds the window here exceeds it there; what is close to it is left to the server, which knows.
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
_SPARE = 2  # characters a token; text with fewer is so rare that a prompt below this need not be counted
_SLICE = 65_536  # characters counted at a time: counting ends where the window ends


def declared(params: Mapping[str, Any]) -> int | None:
    """The window that the parameters of a role declare, in tokens. Raises UsageError when it is no such number."""
    value = params.get(KEY)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise UsageError(f"{KEY}: {value!r} is not a context window; give a whole number of tokens, such as 32768")


def backend(spec: ModelSpec) -> dict[str, Any]:
    """How a model on this machine is started: `backend:` of a spec, with the role's window unless it names one itself."""
    context = declared(spec.params)
    return {**({} if context is None else {"max_model_len": context}), **spec.backend}


def known(spec: ModelSpec, params: Mapping[str, Any] | None = None) -> int | None:
    """The window of a model as far as its role, its server or the table of litellm says so, in tokens. params: of a call,
    where they are not the role's alone."""
    found = declared(spec.params if params is None else params)
    return found or spec.window or prices.context_window(spec.name, spec.base_url)


def room(window: int) -> int:
    """Tokens of o200k_base that a memory may fill of a window: a quarter, 2,048 at most, is left for the reply, and a tenth
    and 256 for the question, the instructions and a tokenizer that needs more."""
    return max(1, int(0.9 * (window - min(2048, window // 4))) - 256)


def split(spec: ModelSpec, request: Request) -> tuple[int | None, Request]:
    """(window or None, the request without `context`, which is no sampling parameter)."""
    window = known(spec, request.params)
    if KEY in request.params:
        params = {key: value for key, value in request.params.items() if key != KEY}
        request = dataclasses.replace(request, params=params)
    return window, request


async def exceeds(request: Request, window: int) -> bool:
    """Whether the prompt alone has more tokens than the window. Long ones are counted in a thread."""
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
