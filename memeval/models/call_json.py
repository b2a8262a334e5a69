"""A call as JSON: the key under which it is filed, and how a body is written.

All but the messages is the same in most calls of a run, and with tools it is longer than many prompts: its text is kept.
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
_KEPT = 64
"""Texts that are kept: as many sorts of calls can take turns without being written anew."""


def call_key(identity: str, request: Request) -> bytes:
    """sha256 (32 bytes) of the canonical JSON of model identity, messages, tools, sampling parameters, repeat and sample.

    Raises UsageError for a parameter that is not JSON."""
    params = {key: value for key, value in request.params.items() if key not in _NOT_SAMPLING}
    try:
        asked = _canonical([identity, request.messages])
        settings = _canonical_settings([request.tools or None, params, request.repeat, request.sample])
    except (TypeError, ValueError) as error:
        raise UsageError(f"model '{identity}': the call is not JSON ({error})") from None
    return hashlib.sha256(f"{asked[:-1]},{settings[1:]}".encode("utf-8", "surrogatepass")).digest()


def as_json(value: Any) -> Any:
    """`default=` of json.dumps: any mapping is an object, and what else is not JSON is an error, never a guess."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


wire = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=as_json).encode
"""A value as the text that is sent. Raises TypeError or ValueError for what is not JSON."""

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=as_json).encode


def _kept(encode: Callable[[Any], str]) -> Callable[[Any], str]:
    """`encode` with the last texts kept. They are found by content, because an agent may change its tools in place."""
    texts: dict[bytes, str] = {}

    def text(value: Any) -> str:
        try:
            content = marshal.dumps(value, 2)  # exact (1 is not True), in order, and faster than comparing
        except ValueError:  # something that is no plain JSON type
            return encode(value)
        if content not in texts:
            if len(texts) >= _KEPT:
                texts.clear()
            texts[content] = encode(value)
        return texts[content]

    return text


_canonical_settings = _kept(_canonical)
