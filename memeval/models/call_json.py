"""A call as JSON: the key under which it is filed, and the body in which it is sent.

The tools of an agent are the same in every call and longer than many prompts, so their text is kept from call to call.
"""

from __future__ import annotations

import hashlib
import json
import marshal
from collections.abc import Callable, Mapping
from typing import Any

from memeval.errors import UsageError
from memeval.models.completion import Request

_NOT_SAMPLING = frozenset({"timeout"})
_NOT_SENT = frozenset({"timeout", "extra_body"})
_MOST_TOOLS = 64
"""Lists of tools whose texts are kept."""


def call_key(identity: str, request: Request) -> bytes:
    """sha256 (32 bytes) of the canonical JSON of model identity, messages, tools, sampling parameters, repeat and sample.

    Raises UsageError for a parameter that is not JSON."""
    params = {key: value for key, value in request.params.items() if key not in _NOT_SAMPLING}
    try:
        head = _canonical([identity, request.messages])
        tools = _canonical_tools(request.tools or None)
        tail = _canonical([params, request.repeat, request.sample])
    except (TypeError, ValueError) as error:
        raise UsageError(f"model '{identity}': the call is not JSON ({error})") from None
    return hashlib.sha256(f"{head[:-1]},{tools},{tail[1:]}".encode("utf-8", "surrogatepass")).digest()


def request_body(name: str, request: Request) -> bytes:
    """The JSON body of a call. Lone surrogates, which JSON over UTF-8 cannot carry, become `?`."""
    params = {key: value for key, value in request.params.items() if key not in _NOT_SENT}
    try:
        extra = dict(request.params.get("extra_body") or {})
        body = {"model": name, "messages": request.messages, **params, **extra}
        if request.tools and "tools" not in extra:
            body.pop("tools", None)
            text = f'{wire(body)[:-1]}, "tools": {_wire_tools(request.tools)}}}'
        else:
            text = wire(body)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model '{name}': its parameters cannot be sent as JSON ({error})") from None
    return text.encode("utf-8", "replace")


def as_json(value: Any) -> Any:
    """`default=` of json.dumps: any mapping is an object, and what else is not JSON is an error, never a guess."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


wire = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=as_json).encode
"""A value as the text that is sent. Raises TypeError or ValueError for what is not JSON."""

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=as_json).encode


def _remembered(encode: Callable[[Any], str]) -> Callable[[Any], str]:
    """`encode` with the last texts kept. They are found by content, because an agent may change its tools in place."""
    texts: dict[bytes, str] = {}

    def text(tools: Any) -> str:
        try:
            content = marshal.dumps(tools, 2)  # exact (1 is not True), in order, and faster than comparing
        except ValueError:  # objects that are no plain JSON types
            return encode(tools)
        if content not in texts:
            if len(texts) >= _MOST_TOOLS:
                texts.clear()
            texts[content] = encode(tools)
        return texts[content]

    return text


_canonical_tools = _remembered(_canonical)
_wire_tools = _remembered(wire)
